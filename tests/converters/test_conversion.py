"""`convert` from end to end: precision, decision, threads, what is reported and what is written."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import edge_runtime
from edge_runtime import converters
from edge_runtime.converters import Conversion, Decision, Report, convert
from edge_runtime.errors import InputError, ParityError, UnsupportedModelError

ROWS, BENIGN = load_breast_cancer(return_X_y=True)
ROWS = ROWS[:, :4]
WIDEST = float(np.finfo(np.float32).max)
Trained = Any


@pytest.fixture(scope="module")
def tree() -> Trained:
    return DecisionTreeClassifier(max_depth=4, random_state=0).fit(ROWS, BENIGN)


@pytest.fixture(scope="module")
def converted(tree: Trained) -> Conversion:
    return convert(tree, data=ROWS, name="tumours", version="1.4")


# Precision of the input


def tensor_of(conversion: Conversion) -> str:
    return conversion.manifest.schema.inputs[0].dtype


@pytest.mark.parametrize(
    ("asked", "given", "column", "tensor"),
    [
        ("auto", np.float64, "float64", "float64"),
        ("float64", np.float32, "float64", "float64"),
        ("float32", np.float64, "float32", "float32"),
        ("float32", np.float32, "float32", "float32"),
    ],
)
def test_the_app_hands_floats_over_as_was_asked(asked: str, given: Any, column: str, tensor: str) -> None:
    """Every row that the app can have is answered as the source answers it."""
    rows = ROWS.astype(given)
    model = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=4)).fit(rows, BENIGN)
    conversion = convert(model, data=rows, input_dtype=asked)
    assert {spec.dtype for spec in conversion.manifest.schema.columns} == {column}
    assert tensor_of(conversion) == tensor
    own = rows.astype(column)
    assert conversion.model().predict(own)["label"].tolist() == model.predict(own).tolist()


def test_columns_are_never_narrower_than_their_data_unless_asked() -> None:
    """A frame may have both; float32 stays float32 where the source computes on it, and is wide enough elsewhere."""
    frame = pd.DataFrame({"wide": ROWS[:, 0], "narrow": ROWS[:, 1].astype(np.float32)})
    behind = make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=3)).fit(frame, BENIGN)
    assert [c.dtype for c in convert(behind, data=frame).manifest.schema.columns] == ["float64", "float32"]
    bare = DecisionTreeClassifier(max_depth=3).fit(frame, BENIGN)
    assert {c.dtype for c in convert(bare, data=frame).manifest.schema.columns} == {"float64"}


def test_a_number_beyond_float32_is_refused_and_not_made_infinite() -> None:
    """At conversion, naming column and row; on the device, naming the column."""
    rows = ROWS.copy()
    model = HistGradientBoostingClassifier(max_iter=3).fit(rows, BENIGN)
    rows[300, 2] = 1e300
    with pytest.raises(
        InputError, match=r"1e\+300 is beyond float32 \(column 'x2', row 300\); expected input_dtype float64"
    ):
        convert(model, data=rows, input_dtype="float32")
    device = convert(model, data=ROWS, input_dtype="float32").model()
    record = dict(zip(("x0", "x1", "x2", "x3"), ROWS[0].tolist(), strict=True))
    for value in (1e39, -1e300):
        with pytest.raises(InputError, match=r"column 'x2'\); expected a number that float32 can hold"):
            device.predict_one(record | {"x2": value})
    assert device.predict_one(record | {"x2": WIDEST}) == device.predict_one(record | {"x2": math.inf})


def test_a_forest_takes_no_number_that_it_would_refuse() -> None:
    """It reads float32: what that rounds to infinity is refused by both, the number below is answered by both; missing
    is answered by a forest, and refused by boosting."""
    model = RandomForestClassifier(3, max_depth=3, random_state=0).fit(ROWS, BENIGN)
    device = convert(model, data=ROWS).model()
    boosting = convert(GradientBoostingRegressor(n_estimators=2).fit(ROWS, BENIGN), data=ROWS).model()
    assert [made.schema.columns[0].nullable for made in (device, boosting)] == [True, False]
    column = device.schema.columns[0]
    assert column.dtype == "float64"
    assert column.high is not None
    assert WIDEST <= column.high < WIDEST * (1 + 2.0**-23)
    row = ROWS[:1].copy()
    row[0, 0] = column.high
    assert device.predict(row)["label"].tolist() == model.predict(row).tolist()
    row[0, 0] = math.nextafter(column.high, math.inf)
    with pytest.raises(InputError, match="column 'x0'"):
        device.predict(row)
    with pytest.raises(ValueError, match="infinity or a value too large"), np.errstate(over="ignore"):
        model.predict(row)


@pytest.mark.parametrize("power", [24, 53])
def test_integers_above_the_floats_are_told_apart_or_refused(power: int) -> None:
    """2^24 + 1 is no float32, but an app's integer column tells it from its neighbours as far as the source does;
    2^53 + 1 is no float64, and no answer is given that rests on another number."""
    near = [2**power - 2 * k for k in (4, 3, 2, 1)]
    frame = pd.DataFrame({"count": np.array(near * 20, np.int64)})
    late = np.array([0, 1, 0, 1] * 20)
    model = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=1).fit(frame, late)
    device = convert(model, data=frame).model()
    assert device.schema.columns[0].dtype == "int64"
    assert device.predict(frame)["label"].tolist() == model.predict(frame).tolist() == late.tolist()
    for value in range(2**power - 9, 2**power + 1):
        wanted = model.predict(pd.DataFrame({"count": [value]}))[0]
        assert device.predict_one({"count": value})["label"] == wanted
    for value in (2**53 + 1, -(2**53) - 1):
        with pytest.raises(InputError, match=r"column 'count'.*expected an integer between -9007199254740992 and"):
            device.predict_one({"count": value})


def test_an_integer_of_the_data_above_2_to_the_53_stops_the_conversion() -> None:
    """Its row could not be compared without rounding it."""
    frame = pd.DataFrame({"count": np.array([1, 2, 3, 2**53 + 1], np.int64)})
    model = DecisionTreeRegressor().fit(frame, [0.0, 1.0, 2.0, 3.0])
    with pytest.raises(InputError, match=r"got int 9007199254740993 \(column 'count', row 3\)"):
        convert(model, data=frame)


def test_float32_apps_have_integers_up_to_2_to_the_24() -> None:
    """All columns share one float32 tensor."""
    frame = pd.DataFrame({"count": np.arange(60), "size": np.linspace(0, 1, 60)})
    model = DecisionTreeRegressor(max_depth=4).fit(frame, np.arange(60.0))
    device = convert(model, data=frame, input_dtype="float32").model()
    assert device.predict_one({"count": 2**24, "size": 0.5}) == device.predict_one({"count": 60, "size": 0.5})
    with pytest.raises(InputError, match="an integer between -16777216 and 16777216"):
        device.predict_one({"count": 2**24 + 1, "size": 0.5})


@pytest.mark.parametrize("asked", ["float16", "double", "", None])
def test_another_dtype_is_refused(tree: Trained, asked: Any) -> None:
    """With what may be asked for."""
    with pytest.raises(InputError, match=r"input_dtype is .*; expected one of \('auto', 'float32', 'float64'\)"):
        convert(tree, data=ROWS, input_dtype=asked)


# The decision


def leaf_shares(model: Trained) -> list[float]:
    return sorted(set(model.predict_proba(ROWS)[:, 1].tolist()))


@pytest.mark.parametrize("make", [
    lambda: HistGradientBoostingClassifier(max_iter=4, random_state=0),
    lambda: RandomForestClassifier(4, max_depth=4, random_state=0),
    lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    GaussianNB,
], ids=["boosting", "forest", "linear", "converted"])  # fmt: skip
def test_the_decision_is_the_same_everywhere(make: Any, tmp_path: Path) -> None:
    """Rows, table, golden rows, saved and loaded: the caller's two names, and a yes exactly where the score is above."""
    model = make().fit(ROWS, BENIGN)
    conversion = convert(model, data=ROWS, decision=Decision("score", "is_benign", 0.7))
    conversion.save(tmp_path / "decides.edge")
    device = edge_runtime.load(tmp_path / "decides.edge")
    assert [(o.name, o.dtype, o.shape) for o in device.schema.outputs] == [
        ("score", "float64", (None,)), ("is_benign", "bool", (None,)),
    ]  # fmt: skip
    wanted = model.predict_proba(ROWS)[:, 1]
    found = device.predict(ROWS)
    assert list(found) == ["score", "is_benign"]
    assert np.abs(found["score"] - wanted).max() < 1e-5
    assert (found["is_benign"] == (wanted > 0.7)).all()
    assert (found["is_benign"] == (found["score"] > 0.7)).all()
    for row in range(40):
        one = device.predict_one(dict(zip([c.name for c in device.schema.columns], ROWS[row].tolist(), strict=True)))
        assert one["is_benign"] is bool(found["is_benign"][row])
        assert list(one) == ["score", "is_benign"]
    for sample in device.golden_rows():
        assert list(sample.outputs) == ["score", "is_benign"]
        assert sample.outputs["is_benign"] is (sample.outputs["score"] > 0.7)
    assert device.verify().ok


def test_a_score_at_the_threshold_is_no_yes() -> None:
    """Above means above: a leaf whose share is the threshold itself says no, the next lower threshold says yes."""
    rows = np.repeat([0.0, 1.0], 8)[:, None]
    model = DecisionTreeClassifier().fit(rows, [1, 0] * 4 + [1] * 6 + [0] * 2)
    assert model.predict_proba(rows)[[0, 8], 1].tolist() == [0.5, 0.75]
    for threshold, wanted in ((0.5, [False, True]), (0.75, [False, False]), (math.nextafter(0.75, 0.0), [False, True])):
        device = convert(model, data=rows, decision=Decision("p", "yes", threshold)).model()
        assert device.predict(rows)["yes"][[0, 8]].tolist() == wanted
        assert [device.predict_one({"x0": value})["yes"] for value in (0.0, 1.0)] == wanted


def test_a_threshold_that_rounding_would_cross_is_refused_not_decided_otherwise() -> None:
    """3 of 10 is no binary fraction: the source's 0.3 is not above 0.3. A graph that says otherwise is not written."""
    rows = np.repeat([0.0, 1.0], 10)[:, None]
    model = DecisionTreeClassifier().fit(rows, [1] * 3 + [0] * 7 + [1] * 9 + [0])
    with pytest.raises(ParityError, match="yes: source False, model True"):
        convert(model, data=rows, decision=Decision("p", "yes", 0.3))
    device = convert(model, data=rows, decision=Decision("p", "yes", 0.31)).model()
    assert device.predict(rows)["yes"].tolist() == (model.predict_proba(rows)[:, 1] > 0.31).tolist()


@pytest.mark.parametrize("name", ["three classes", "a regressor", "three classes, converted", "a regressor, converted"])
def test_only_two_classes_can_be_decided(name: str) -> None:
    """Whichever way the model goes."""
    three = np.arange(len(ROWS)) % 3
    made = {
        "three classes": lambda: DecisionTreeClassifier(max_depth=3).fit(ROWS, three),
        "a regressor": lambda: GradientBoostingRegressor(n_estimators=2).fit(ROWS, three),
        "three classes, converted": lambda: GaussianNB().fit(ROWS, three),
        "a regressor, converted": lambda: StandardScaler().fit(ROWS),
    }
    with pytest.raises(
        UnsupportedModelError, match="a decision needs a classifier of two classes; leave the decision away"
    ):
        convert(made[name](), data=ROWS, decision=Decision("score", "yes"))


def test_names_of_the_contract_may_be_the_decisions_own() -> None:
    """An app may well call them label and probabilities."""
    for model in (GaussianNB().fit(ROWS, BENIGN), RandomForestClassifier(2, random_state=0).fit(ROWS, BENIGN)):
        for names in (("probabilities", "label"), ("score", "decision"), ("prediction", "scores")):
            found = convert(model, data=ROWS, decision=Decision(*names, 0.5)).model().predict(ROWS)
            assert list(found) == list(names)
            assert (found[names[1]] == (model.predict_proba(ROWS)[:, 1] > 0.5)).all()


# Threads


def test_a_forest_on_two_threads_is_compared_on_one_and_stays_as_it_was() -> None:
    """The caller's object keeps its n_jobs, at any depth; the reference has the bits of one thread."""
    forest = RandomForestRegressor(30, n_jobs=2, random_state=0)
    model = make_pipeline(StandardScaler(), forest).fit(ROWS, BENIGN + ROWS[:, 0])
    before = model.get_params()
    conversion = convert(model, data=ROWS)
    assert model.get_params() == before
    assert forest.n_jobs == 2
    alone: NDArray[Any] = (
        make_pipeline(model[0], RandomForestRegressor(30, n_jobs=1, random_state=0))
        .fit(ROWS, BENIGN + ROWS[:, 0])
        .predict(ROWS)
    )
    gap = np.abs(conversion.model().predict(ROWS)["prediction"] - alone).max()
    assert gap <= conversion.report.largest["prediction"] * np.abs(alone).max()


# What is reported and written


def test_progress_goes_through_the_stages_and_each_ends(tree: Trained) -> None:
    """(stage, done, all), in the order of the work."""
    told: list[tuple[str, int, int]] = []
    convert(tree, data=ROWS, progress=lambda *step: told.append(step))
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    assert stages[0] == "read"
    assert stages[-1] == "self-test"
    assert {"compare", "edge rows"} < set(stages)
    for stage in stages:
        steps = [(done, whole) for name, done, whole in told if name == stage]
        assert steps[-1][0] == steps[-1][1] > 0
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_the_model_is_named_after_its_last_step_unless_it_is_given_a_name(tree: Trained) -> None:
    """So that a bundle always has one."""
    assert convert(tree, data=ROWS).name == "DecisionTreeClassifier"
    model = make_pipeline(StandardScaler(), GaussianNB()).fit(ROWS, BENIGN)
    assert convert(model, data=ROWS).manifest.name == "GaussianNB"
    named = convert(tree, data=ROWS, name="Größe <b>", version="2.1.0")
    assert (named.name, named.version, named.model().name) == ("Größe <b>", "2.1.0", "Größe <b>")


def test_the_report_is_what_the_certificate_says(converted: Conversion) -> None:
    """One truth, in figures and in words."""
    report, certificate = converted.report, converted.manifest.certificate
    assert isinstance(report, Report)
    assert (report.rows, report.edge_rows) == (certificate.rows, certificate.edge_rows) == (569, report.edge_rows)
    assert report.largest == certificate.largest
    assert report.statements == certificate.statements
    assert report.graph_bytes == len(converted.contents["graph.onnx"])
    assert report.leaves_visited <= report.leaves
    assert report.refused > 0
    text = "\n".join(report.statements)
    assert f"checked on 569 rows and {report.edge_rows:,} edge rows: 0 labels differ" in text
    assert f"{report.refused:,} edge rows are refused by source and model alike" in text


def test_nothing_is_written_before_save_and_then_one_file(
    tree: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What convert needs on the way lies in a temporary folder and is gone when it returns."""
    temporary, target = tmp_path / "temporary", tmp_path / "target"
    temporary.mkdir()
    target.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(target)
    conversion = convert(tree, data=ROWS)
    conversion.model()
    assert list(temporary.iterdir()) == list(target.iterdir()) == []
    bundle = conversion.save("tree.edge")
    assert [path.name for path in target.iterdir()] == ["tree.edge"]
    assert bundle.size == (target / "tree.edge").stat().st_size
    assert edge_runtime.load("tree.edge").digest == bundle.digest
    for name in ("tree.onnx", "tree"):
        with pytest.raises(InputError, match=rf"{name}: not a bundle's name; expected a path that ends in \.edge"):
            conversion.save(name)
    with pytest.raises(OSError):
        conversion.save("no/such/folder/tree.edge")
    assert [path.name for path in target.iterdir()] == ["tree.edge"]


def test_saving_twice_gives_the_same_bytes(converted: Conversion, tmp_path: Path) -> None:
    """The identity of a bundle is that of its content."""
    digests = {converted.save(tmp_path / name).digest for name in ("a.edge", "b.edge")}
    assert len(digests) == 1
    assert (tmp_path / "a.edge").read_bytes() == (tmp_path / "b.edge").read_bytes()


def test_a_notebook_shows_the_converted_model(converted: Conversion) -> None:
    """As HTML, with names escaped."""
    page = converted._repr_html_()
    assert "tumours" in page
    assert "x0" in page


def test_the_bundle_holds_its_graph_its_golden_rows_and_nothing_else(converted: Conversion) -> None:
    """No pickle, no text of the training machine."""
    assert sorted(converted.contents) == ["golden.json", "graph.onnx"]
    assert set(json.loads(converted.contents["golden.json"])) == {"rows", "outputs"}


def test_the_public_names_are_there_and_load_late() -> None:
    """`edge --help` imports the package: pandas, onnx and scikit-learn wait until a name is used."""
    assert sorted(converters.__all__) == ["Candidate", "Conversion", "Decision", "Image", "Report", "convert"]
    code = (
        "import sys, edge_runtime.converters as c; heavy = {'pandas', 'onnx', 'sklearn', 'skl2onnx'};"
        "print(sorted(heavy & set(sys.modules))); c.convert; print(sorted(heavy - set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "[]"
    with pytest.raises(AttributeError, match="no attribute 'converter'"):
        _ = converters.converter
