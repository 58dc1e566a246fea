"""The search as a user meets it: what stops it at once, what the data may look like, and what a limit leads to."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from edge_runtime.converters import Conversion, convert
from edge_runtime.converters.precision.trials import stored_size
from edge_runtime.errors import BudgetError, InputError

Array = NDArray[Any]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(1_500, 1, 16)).astype(np.float32)
W, V = RNG.normal(size=(16, 32)).astype(np.float32) / 4, RNG.normal(size=(32, 1)).astype(np.float32) / 4


def network(dtype: type = np.float32) -> onnx.ModelProto:
    """Two layers and a sigmoid: one number per sample."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "V"], ["c"]),
        helper.make_node("Sigmoid", ["c"], ["y"]),
    ]
    weights = [numpy_helper.from_array(each.astype(dtype), name) for each, name in ((W, "W"), (V, "V"))]
    inputs = [helper.make_tensor_value_info("x", kind, ["N", 1, 16])]
    outputs = [helper.make_tensor_value_info("y", kind, ["N", 1, 1])]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answered() -> Array:
    hidden: Array = np.maximum(X[:, 0] @ W, 0) @ V
    return hidden[:, 0]


YES = (answered() > np.quantile(answered(), 0.9)).astype(int)


def tried(found: Conversion) -> dict[str, str]:
    return {each.name: each.reason for each in found.candidates if each.verdict != "failed"}


def auc(target: Array, outputs: dict[str, Array]) -> float:
    return float(roc_auc_score(target, outputs["y"].ravel()))


@pytest.mark.parametrize("metric", ["roc_auc", auc], ids=["by name", "a function"])
def test_data_sorted_by_class_are_as_good_as_others(metric: Any) -> None:
    """A figure that needs both classes is not asked of the first rows, which might be of one."""
    order = np.argsort(YES, kind="stable")
    found = convert(network(), data={"x": X[order]}, target=YES[order], metric=metric, max_drop=0.05, objective="size")
    assert {"float16 weights", "int8 weights"} <= tried(found).keys()


def test_what_even_the_reference_could_not_keep_is_refused_at_once() -> None:
    """Groups are fewer than rows: it is told before a single precision is tried."""
    stages: list[str] = []
    groups = np.arange(len(X)) // 20
    with pytest.raises(InputError, match=r"even what loses nothing would not be certified: NDCG .* groups"):
        convert(
            network(), data={"x": X}, target=YES, groups=groups, metric="ndcg", max_drop=0.02,
            progress=lambda stage, done, whole: stages.append(stage),
        )  # fmt: skip
    assert "recipes" not in stages


def test_too_few_rows_and_a_metric_without_a_target_are_refused_before_anything_is_compared() -> None:
    """Comparing may take minutes."""
    stages: list[str] = []
    with pytest.raises(InputError, match="100 samples leave 54 to certify on"):
        convert(network(), data={"x": X[:100]}, max_drop=0.01, progress=lambda stage, done, whole: stages.append(stage))
    assert set(stages) == {"read"}
    with pytest.raises(InputError, match="a metric needs the true answers; expected a target"):
        convert(network(), data={"x": X}, metric="accuracy")


def test_a_graph_of_float64_keeps_what_it_is_or_is_stored_smaller() -> None:
    """Recipes for float32 are lines of the table with their reason, and no error."""
    found = convert(network(np.float64), data={"x": X}, max_drop=0.05, objective="size")
    failed = {each.reason for each in found.candidates if each.verdict == "failed"}
    assert "ranges: nothing in the graph is computed in float32" in failed


def test_exact_trees_are_not_shipped_as_another_precision_of_the_same_graph() -> None:
    """Where there are no weights, nothing is stored smaller, and noise must not choose between equals."""
    rows, kind = load_digits(return_X_y=True, as_frame=True)
    trees = GradientBoostingClassifier(n_estimators=2, max_depth=2, random_state=0).fit(rows, kind)
    reasons = {each.name: each.reason for each in convert(trees, data=rows, max_drop=0.02).candidates}
    assert reasons["int8 weights"].endswith("the graph is left as it is: there is nothing to be made smaller")
    assert reasons["float16 weights"].endswith("the graph is left as it is: there is nothing to be made smaller")


def test_a_limit_that_the_reference_breaks_is_kept_by_one_that_is_no_faster() -> None:
    """Then the reference is no alternative, and is not in the bundle either."""
    most = int(0.8 * stored_size(network().SerializeToString()))
    found = convert(network(), data={"x": X}, max_drop=0.05, require=f"size<={most}B")
    (variant,) = found.manifest.variants
    assert variant.name != "float32"
    assert next(each.verdict for each in found.candidates if each.name == "float32") == "reference"
    with pytest.raises(BudgetError, match="no precision keeps the demand"):
        convert(network(), data={"x": X}, max_drop=0.05, require="size<=10B")


def test_samples_that_are_not_finite_stop_it_unless_the_network_answers_them() -> None:
    """NaN in, NaN out shows nothing of the graph."""
    broken = X[:40].copy()
    broken[7, 0, 3] = np.nan
    with pytest.raises(InputError, match=r"sample 7 holds NaN or infinity, and the model answers it with such"):
        convert(network(), data={"x": broken})
    broken[7, 0, 3] = np.inf
    masked = network()
    masked.graph.node.insert(0, helper.make_node("Clip", ["x", "", "most"], ["z"]))
    masked.graph.node[1].input[0] = "z"
    masked.graph.initializer.append(numpy_helper.from_array(np.array(3.0, np.float32), "most"))
    given: tuple[Any, ...] = ({"x": broken}, [{"x": row[None]} for row in broken])
    for data in given:
        assert convert(masked, data=data).report.rows == 40


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (3, r"the target has the shape \[\]; expected one number, text or bool per sample"),
        ([{}] * 40, "the target holds dicts"),
        ([[1] * (i % 3) for i in range(40)], "the target has values of several lengths"),
        (np.eye(40, dtype=int), r"the target has the shape \[40, 40\]"),
    ],
)
@pytest.mark.parametrize("table", [False, True], ids=["tensors", "table"])
def test_a_target_that_is_no_column_is_refused(target: Any, says: str, table: bool) -> None:
    """As it comes in, of tensors and of tables alike."""
    data: Any = {f"x{i}": X[:40, 0, i] for i in range(16)} if table else {"x": X[:40]}
    with pytest.raises(InputError, match=says):
        convert(network(), data=data, target=target)


def test_text_goes_into_a_network_as_ids() -> None:
    """Said at once, and not when golden samples are written."""
    nodes = [helper.make_node("Equal", ["s", "s"], ["e"]), helper.make_node("Cast", ["e"], ["y"], to=TensorProto.FLOAT)]
    inputs = [helper.make_tensor_value_info("s", TensorProto.STRING, ["N", 2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])]
    model = helper.make_model(
        helper.make_graph(nodes, "graph", inputs, outputs), opset_imports=[helper.make_opsetid("", 19)], ir_version=9
    )
    with pytest.raises(Exception, match="the input 's' takes text; export the model behind its tokenizer: ids in"):
        convert(model, data={"s": np.array([["a", "b"]] * 30, dtype=object)})
