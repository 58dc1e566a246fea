"""The ending: for every kind and any raw sum, one row has the bits that it has among many."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.canonical import dumps, loads
from edge_runtime.ending import ALONE, CLASS_DTYPES, KINDS, Decision, Ending
from edge_runtime.errors import BundleError
from edge_runtime.links import CALIBRATIONS, PREDICTIONS, Link
from edge_runtime.schema import TensorSpec

INF, NAN = math.inf, math.nan
CLASSES: dict[str, tuple[Any, ...]] = {
    "str": ("b", "a", "", "é", "NaN", "0", "\n"),
    "bool": (False, True),
    "int64": (0, 1, -(2**63), 2**63 - 1, 7, 3, 2**53 + 1),
    "float64": (0.5, -0.1, 1e300, 5e-324, INF, -INF, 2.0),
}
DECISION = Decision("score", "yes", 0.25)


FINITE = st.sampled_from([-3.0, -0.5, 0.0, 0.25, 1.0, 1e-9, 40.0, 1e300])
WEIGHTS = st.sampled_from([1.0, 3.0, 0.1, 5e-324])


def knots(draw: st.DrawFn) -> tuple[float, ...]:
    """Of an isotonic map: increasing, a step of one place among them."""
    x = draw(st.sampled_from([(0.5,), (-2.0, 0.0, 0.25, 0.75), (0.0, 0.5, 0.5000000000000001, 1.0)]))
    y = draw(st.lists(st.sampled_from([0.0, 0.1, 1 / 3, 1.0]), min_size=len(x), max_size=len(x)))
    return tuple(value for pair in zip(x, sorted(y), strict=True) for value in pair)


@st.composite
def parts_of(draw: st.DrawFn, count: int, *, classifies: bool, depth: int = 2) -> Link:
    """A link that gives so many numbers, of any kind."""
    weight, scale = draw(WEIGHTS), draw(WEIGHTS)
    joined = [*(CALIBRATIONS if count > 1 and classifies else ()), "mean"] if depth else []
    pairs = ["logistic"] if count == 2 else []
    simple = (
        ["softmax", "one_vs_rest", "share", *pairs] if classifies else [*(PREDICTIONS if count == 1 else ["identity"])]
    )
    kind = draw(st.sampled_from([*simple, *joined]))
    if kind == "mean":
        made = draw(st.lists(parts_of(count, classifies=classifies, depth=depth - 1), min_size=1, max_size=3))
        return Link(kind, sum(part.width for part in made), scale, weight, (), tuple(made))
    if kind in CALIBRATIONS:
        below = parts_of(count, classifies=True, depth=depth - 1)
        part = draw(st.just(Link("identity", 1 if count == 2 else count, scale)) | below)
        size = {"sigmoid": 2, "temperature": 1}.get(kind, 0)
        maps = [
            tuple(draw(FINITE) for _ in range(size)) if size else knots(draw)
            for _ in range(1 if count == 2 or kind == "temperature" else count)
        ]
        return Link(kind, part.width, scale, weight, tuple(maps), (part,))
    alone = kind == "logistic" or (kind == "share" and count == 2 and draw(st.booleans()))
    return Link(kind, 1 if alone else count, scale, weight)


@st.composite
def endings(draw: st.DrawFn) -> tuple[Ending, int]:
    """An ending of any kind, and how many raw sums go with it."""
    kind = draw(st.sampled_from(sorted(set(KINDS) - {"graph"})))
    scale = draw(st.sampled_from([1.0, 3.0, 100.0, 5e-324, 1e308, 0.1]))
    if kind == "anomaly":
        return Ending(kind, scale, offset=draw(st.sampled_from([-0.5, 0.0, -0.0, -0.42]))), 1
    if kind in ("identity", *ALONE):
        return Ending(kind, scale), 1 if kind in ALONE else draw(st.integers(1, 4))
    dtype = draw(st.sampled_from(sorted(CLASSES)))
    count = 2 if kind == "logistic" else draw(st.integers(2, len(CLASSES[dtype])))
    decisions = st.sampled_from([None, DECISION, Decision("s", "d", 0.0), Decision("s", "d", 1.0)])
    if kind == "mean" and draw(st.booleans()):
        made = draw(st.lists(parts_of(draw(st.integers(1, 3)), classifies=False), min_size=1, max_size=1))
        return Ending(kind, scale, parts=tuple(made)), sum(part.width for part in made)
    if kind == "mean":
        made = draw(st.lists(parts_of(count, classifies=True), min_size=1, max_size=3))
        decision = draw(decisions) if count == 2 else None
        ending = Ending(kind, scale, CLASSES[dtype][:count], dtype, False, decision, parts=tuple(made))
        return ending, sum(part.width for part in made)
    if kind == "each":
        counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
        classes = tuple(CLASSES[dtype][: n if dtype != "bool" else min(n, 2)] for n in counts)
        made = [draw(parts_of(len(own), classifies=True)) for own in classes]
        return Ending(kind, 1.0, None, dtype, parts=tuple(made), targets=classes), sum(part.width for part in made)
    alone = kind == "logistic" or (kind == "share" and count == 2 and draw(st.booleans()))
    decision = draw(decisions) if alone else None
    ending = Ending(kind, scale, CLASSES[dtype][:count], dtype, draw(st.booleans()), decision)
    return ending, 1 if alone else count


SUMS = st.floats() | st.sampled_from([0.0, -0.0, 1.0, -1.0, 100.0, -100.0, 709.8, -709.8, INF, -INF, NAN, -NAN, 5e-324])


def bits(value: Any) -> Any:
    """``value`` such that two are equal if and only if they are the same, floats by their bits; one NaN is like
    another, since of two that are added IEEE 754 lets either stay."""
    if isinstance(value, list):
        return [bits(item) for item in value]
    if value != value:
        return "NaN"
    return struct.pack("d", value) if isinstance(value, float) else (type(value), value)


def row_of(outputs: dict[str, NDArray[Any]], i: int) -> dict[str, Any]:
    return {name: array[i : i + 1].tolist()[0] for name, array in outputs.items()}


@settings(max_examples=1000, deadline=None)
@given(made=endings(), data=st.data())
def test_one_row_and_many_have_the_same_bits(made: tuple[Ending, int], data: st.DataObject) -> None:
    """Labels, probabilities and decisions, ties, NaN and infinite sums among them; shape and dtype are as declared."""
    ending, width = made
    rows = data.draw(st.lists(st.lists(SUMS, min_size=width, max_size=width), max_size=6))
    raw = np.array(rows, np.float64).reshape(-1, width)
    many, one = ending.finish_array(width)(raw), ending.finish(width)
    assert [
        (name, "str" if array.dtype == object else array.dtype.name, (None, *array.shape[1:]))
        for name, array in many.items()
    ] == [(spec.name, spec.dtype, spec.shape) for spec in ending.outputs(width)]
    for i, sums in enumerate(rows):
        alone = one(memoryview(struct.pack(f"{width}d", *sums)).cast("d"))
        assert {name: bits(value) for name, value in alone.items()} == {
            name: bits(value) for name, value in row_of(many, i).items()
        }


@settings(max_examples=200)
@given(made=endings(), data=st.data())
def test_a_row_does_not_depend_on_its_block(made: tuple[Ending, int], data: st.DataObject) -> None:
    """Sliced, reversed or alone: the same bits."""
    ending, width = made
    raw = np.array(data.draw(st.lists(SUMS, min_size=5 * width, max_size=5 * width))).reshape(5, width)
    finish = ending.finish_array(width)
    whole, backwards = finish(raw), finish(raw[::-1])
    for i in range(5):
        wanted = {name: bits(value) for name, value in row_of(whole, i).items()}
        assert {name: bits(value) for name, value in row_of(backwards, 4 - i).items()} == wanted
        assert {name: bits(value) for name, value in row_of(finish(raw[i : i + 1]), 0).items()} == wanted


def test_no_rows_give_no_answers() -> None:
    """Empty arrays of the declared shapes."""
    for ending, width in ((Ending("softmax", 1.0, ("a", "b", "c"), "str"), 3), (Ending("identity"), 1)):
        outputs = ending.finish_array(width)(np.empty((0, width)))
        assert {name: array.shape for name, array in outputs.items()} == {
            spec.name: (0, *spec.shape[1:]) for spec in ending.outputs(width)
        }


def answer(ending: Ending, *raw: float) -> dict[str, Any]:
    return ending.finish(len(raw))(raw)


def test_endings_compute_what_they_say() -> None:
    """One example of each kind, by hand."""
    two: dict[str, Any] = {"classes": ("no", "yes"), "class_dtype": "str"}
    three: dict[str, Any] = {"classes": (1, 2, 3), "class_dtype": "int64"}
    assert answer(Ending("identity", 4.0), 6.0) == {"prediction": 1.5}
    assert answer(Ending("identity", 4.0), 6.0, -2.0) == {"prediction": [1.5, -0.5]}
    assert answer(Ending("exp"), 0.0) == {"prediction": 1.0}
    assert answer(Ending("expit"), 0.0) == {"prediction": 0.5}
    assert answer(Ending("signed_square"), -3.0) == {"prediction": -9.0}
    assert answer(Ending("one_vs_rest", **three), 0.0, 0.0, -INF) == {"label": 1, "probabilities": [0.5, 0.5, 0.0]}
    assert answer(Ending("logistic", **two), 0.0) == {"label": "no", "probabilities": [0.5, 0.5]}
    assert answer(Ending("share", 4.0, **two), 2.0) == {"label": "yes", "probabilities": [0.25, 0.75]}
    assert answer(Ending("share", 4.0, **two), 1.0, 3.0) == {"label": "yes", "probabilities": [0.25, 0.75]}
    assert answer(Ending("share", 4.0, **three), 1.0, 2.0, 1.0) == {"label": 2, "probabilities": [0.25, 0.5, 0.25]}
    assert answer(Ending("softmax", **three), 7.0, 7.0, -2000.0)["label"] == 1
    found = answer(Ending("softmax", **three), 1.0, 3.0, 2.0)
    assert found["label"] == 2
    assert found["probabilities"] == pytest.approx([0.09003057, 0.66524096, 0.24472847])
    assert answer(Ending("logistic", decision=DECISION, **two), 0.0) == {"score": 0.5, "yes": True}
    assert answer(Ending("share", 4.0, decision=DECISION, **two), -2.0) == {"score": 0.25, "yes": False}


def test_joined_endings_compute_what_they_say() -> None:
    """One example of each, by hand: several models, several targets, outliers, calibration maps."""
    two: dict[str, Any] = {"classes": ("no", "yes"), "class_dtype": "str"}
    votes, boosted = Link("share", 1, 4.0, weight=3.0), Link("logistic", 1)
    assert answer(Ending("mean", 4.0, **two, parts=(votes, boosted)), -2.0, 0.0) == {
        "label": "no", "probabilities": [0.6875, 0.3125],
    }  # fmt: skip
    parts = (Link("identity", 2, 2.0), Link("identity", 2))
    assert answer(Ending("mean", 2.0, parts=parts), 4.0, 6.0, 1.0, 0.0) == {"prediction": [1.5, 1.5]}
    assert answer(Ending("mean", 2.0, parts=(Link("exp", 1), Link("signed_square", 1))), 0.0, 3.0) == {
        "prediction": 5.0
    }
    targets = Ending("each", class_dtype="int64", parts=(votes, Link("share", 3, 2.0)), targets=((0, 1), (5, 6, 7)))
    assert answer(targets, 4.0, 0.5, 1.0, 0.5) == {
        "label": [1, 6], "probabilities_0": [0.0, 1.0], "probabilities_1": [0.25, 0.5, 0.25],
    }  # fmt: skip
    assert answer(Ending("anomaly", 10.0, offset=-0.5), 0.0) == {"label": -1, "score": -0.5}
    assert answer(Ending("anomaly", 10.0, offset=-1.0), 0.0) == {"label": 1, "score": 0.0}
    assert answer(Ending("anomaly", 10.0, offset=-0.5), 20.0)["score"] == pytest.approx(0.25)


def test_a_tie_of_joined_models_goes_to_the_first_class() -> None:
    """As argmax does, and so scikit-learn; where a probability is NaN as well."""
    parts = (Link("share", 1, 2.0), Link("share", 1, 2.0))
    ending = Ending("mean", 2.0, ("a", "b"), "str", parts=parts)
    assert answer(ending, 1.0, -1.0) == {"label": "a", "probabilities": [0.5, 0.5]}
    assert answer(ending, 2.0, NAN)["label"] == "a"


def test_an_ending_knows_the_classes_of_its_outputs() -> None:
    """Of probabilities, each target's own; of nothing else."""
    ending = Ending("softmax", 1.0, ("a", "b", "c"), "str")
    assert ending.classes_of("probabilities") == ("a", "b", "c")
    assert ending.classes_of("label") is None
    parts = (Link("share", 1), Link("share", 3))
    several = Ending("each", class_dtype="int64", parts=parts, targets=((0, 1), (5, 6, 7)))
    assert [several.classes_of(spec.name) for spec in several.outputs(4)] == [None, (0, 1), (5, 6, 7)]


@pytest.mark.parametrize("kind", ["logistic", "share"])
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_tie_goes_where_the_ending_says(kind: str, zero: float) -> None:
    """A raw sum of zero of either sign is the second class if and only if `tie` says so."""
    for tie in (False, True):
        ending = Ending(kind, 1.0, (10, 20), "int64", tie)
        assert answer(ending, zero)["label"] == (20 if tie else 10)
        assert ending.finish_array(1)(np.array([[zero]]))["label"].tolist() == [20 if tie else 10]


def test_the_first_of_equal_classes_wins() -> None:
    """As argmax does, and so scikit-learn."""
    for kind in ("softmax", "share", "one_vs_rest"):
        ending = Ending(kind, 1.0, ("a", "b", "c"), "str")
        assert answer(ending, 1.0, 2.0, 2.0)["label"] == "b"
        assert answer(ending, 0.0, -0.0, -0.0)["label"] == "a"
        assert answer(ending, 1.0, NAN, 2.0)["label"] == "a"


def test_labels_have_the_dtype_of_the_training_labels() -> None:
    """Python's own types for one row, the array's dtype for many."""
    for dtype, python in CLASS_DTYPES.items():
        ending = Ending("logistic", 1.0, CLASSES[dtype][:2], dtype)
        assert type(answer(ending, 1.0)["label"]) is python
        assert ending.finish_array(1)(np.ones((3, 1)))["label"].dtype == (object if dtype == "str" else np.dtype(dtype))


@given(endings())
@example((Ending("graph"), 1))
def test_an_ending_comes_back_from_its_json(made: tuple[Ending, int]) -> None:
    """Classes of any dtype included, with their types."""
    ending, _ = made
    again = Ending.from_json(loads(dumps(ending.to_json())))
    assert again == ending
    assert list(map(repr, again.classes or ())) == list(map(repr, ending.classes or ()))


PARTS = [part.to_json() for part in (Link("share", 1, 4.0), Link("logistic", 1))]


def data_of(kind: str = "logistic", **changes: Any) -> Any:
    classes = {"softmax": ("a", "b", "c"), "identity": None, "exp": None, "graph": None}.get(kind, ("a", "b"))
    decision = DECISION if kind == "logistic" else None
    made = Ending(kind, 1.0, classes, None if classes is None else "str", False, decision).to_json()
    return made | changes


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (data_of(kind="sigmoid"), "the ending 'sigmoid' is not one of"),
        (data_of("identity", classes=["a", "b"], class_dtype="str"), "go with a classifier's ending, and only with it"),
        (data_of("graph", class_dtype="str"), "go with a classifier's ending, and only with it"),
        (data_of("softmax", classes=None, class_dtype=None), "go with a classifier's ending, and only with it"),
        (data_of(class_dtype=None), "go with a classifier's ending, and only with it"),
        (data_of(class_dtype="int32"), "classes have the unknown dtype 'int32'"),
        (data_of(classes=["a"]), "classes must be two or more values of str"),
        (data_of(classes=["a", 1]), "classes must be two or more values of str"),
        (data_of(classes=["a", "a"]), "classes must be distinct values of str"),
        (data_of("softmax", classes=[1, 2**63], class_dtype="int64"), "classes must be distinct values of int64"),
        (data_of("softmax", classes=[1, True], class_dtype="int64"), "two or more values of int64"),
        (data_of("softmax", classes=[[], []], class_dtype="int64"), "two or more values of int64"),
        (data_of("softmax", classes=["1.0", "1.00"], class_dtype="float64"), "not a number in its shortest form"),
        (data_of("softmax", classes=["0.0", "-0.0"], class_dtype="float64"), "classes must be distinct values"),
        (data_of("softmax", classes=["nan", "0.0"], class_dtype="float64"), "not a number"),
        (data_of(classes=["a", "b", "c"]), "the ending logistic goes with two classes"),
        (data_of(scale="0.0"), "expected a positive number"),
        (data_of(scale="-1.0"), "expected a positive number"),
        (data_of(scale="inf"), "expected a positive number"),
        (data_of(scale="1"), "not a number in its shortest form"),
        (data_of(scale=1), "field 'scale' has the wrong type int"),
        (data_of(tie=1), "field 'tie' has the wrong type int"),
        (data_of("identity", decision=data_of()["decision"]), "a decision goes with two classes"),
        (data_of("softmax", decision=data_of()["decision"]), "a decision goes with two classes"),
        (data_of(decision={}), "decision must have the fields"),
        (data_of(decision={"name": "a", "score": "a", "threshold": "0.5"}), "decision: .* need two different names"),
        (data_of(decision={"name": "", "score": "a", "threshold": "0.5"}), "decision: .* need two different names"),
        (
            data_of(decision={"name": "a", "score": "b", "threshold": "1.5"}),
            "decision: threshold is 1.5; expected a prob",
        ),
        (
            data_of(decision={"name": "a", "score": "b", "threshold": "nan"}),
            "decision: threshold: 'nan' is not a number",
        ),
        (data_of("exp", offset="0.5"), "the ending exp does not go with the offset 0.5"),
        (data_of("identity", offset="inf"), "the ending identity does not go with the offset inf"),
        (data_of("mean"), "the ending mean has another number of parts than 0"),
        (data_of("logistic", parts=PARTS), "the ending logistic has another number of parts than 2"),
        (data_of("mean", parts=PARTS, class_dtype=None), "go with a classifier's ending, and only with it"),
        (data_of("softmax", targets=[["a"]]), "the ending softmax has no targets"),
        (data_of("each", parts=PARTS, targets=[["a"], ["b"]]), "go with a classifier's ending, and only with it"),
        (
            data_of("each", parts=PARTS, targets=[["a"]], classes=None),
            "the ending each has another number of parts than 2",
        ),
        (data_of("each", parts=PARTS, targets=[["a"], []], classes=None), "classes must be one or more values of str"),
        (data_of("each", parts=PARTS, targets=["ab", ["a"]], classes=None), "classes must be one or more values"),
        (data_of("mean", parts=["share"]), "a part of the ending must have the fields"),
        ({}, "ending must have the fields"),
        (None, "ending must have the fields"),
    ],
)
def test_malformed_endings_are_refused(data: Any, says: str) -> None:
    """Each with what is wrong, in one line."""
    with pytest.raises(BundleError, match=says) as caught:
        Ending.from_json(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ending", "width", "says"),
    [
        (Ending("identity"), 0, "one raw sum or more"),
        (Ending("exp"), 2, "exp goes with one raw sum"),
        (Ending("logistic", 1.0, ("a", "b"), "str"), 2, "2 classes do not go with 2 raw sums"),
        (Ending("softmax", 1.0, ("a", "b"), "str"), 1, "2 classes do not go with 1 raw sums"),
        (Ending("softmax", 1.0, ("a", "b", "c"), "str"), 2, "3 classes do not go with 2 raw sums"),
        (Ending("share", 1.0, ("a", "b", "c"), "str"), 1, "3 classes do not go with 1 raw sums"),
        (Ending("one_vs_rest", 1.0, ("a", "b", "c"), "str"), 1, "3 classes do not go with 1 raw sums"),
        (Ending("anomaly"), 2, "anomaly goes with one raw sum"),
        (Ending("mean", parts=(Link("identity", 2),)), 3, "parts do not add up to 3 raw sums"),
        (Ending("mean", parts=(Link("identity", 2), Link("exp", 1))), 3, "predictions do not go with 3 raw sums"),
        (Ending("mean", parts=(Link("logistic", 1),)), 1, "predictions do not go with 1 raw sums"),
        (Ending("mean", 1.0, ("a", "b"), "str", parts=(Link("softmax", 3),)), 3, "2 classes do not go with 3 raw sums"),
        (Ending("each", parts=(Link("softmax", 3),), targets=(("a", "b"),), class_dtype="str"), 3, "of 2 classes"),
    ],
)
def test_a_width_that_no_ending_has_is_refused(ending: Ending, width: int, says: str) -> None:
    """Before anything is computed with it."""
    with pytest.raises(BundleError, match=says):
        ending.outputs(width)


def test_a_share_of_two_classes_may_have_either_form() -> None:
    """One raw sum, or one for each class: the same outputs."""
    ending = Ending("share", 2.0, ("a", "b"), "str")
    assert ending.outputs(1) == ending.outputs(2) == (
        TensorSpec("label", "str", (None,)), TensorSpec("probabilities", "float64", (None, 2)),
    )  # fmt: skip


@pytest.mark.parametrize("threshold", [-0.1, 1.1, NAN, INF])
def test_a_threshold_is_a_probability(threshold: float) -> None:
    """Anything else would decide nothing."""
    with pytest.raises(ValueError, match="expected a probability, 0 to 1"):
        Decision("score", "yes", threshold)
