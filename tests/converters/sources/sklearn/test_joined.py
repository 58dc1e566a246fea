"""Models of models over trees: one ensemble, the source's own weights and maps, and what is claimed of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from edge_runtime.converters import Conversion, Decision, convert
from edge_runtime.errors import ParityError, UnsupportedModelError

Floats = NDArray[np.float64]

ROWS, BENIGN = load_breast_cancer(return_X_y=True)
ROWS = ROWS[:, :5]
PLANTS, KIND = load_iris(return_X_y=True)
PATIENTS, PROGRESS = load_diabetes(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[KIND]
LABELS = np.stack([BENIGN, ROWS[:, 1] > 20, (ROWS[:, 0] > 12).astype(int) + (ROWS[:, 0] > 15)], axis=1)


def forest(**options: Any) -> RandomForestClassifier:
    return RandomForestClassifier(6, max_depth=4, random_state=0, **options)


def boosting(**options: Any) -> GradientBoostingClassifier:
    return GradientBoostingClassifier(n_estimators=6, random_state=0, **options)


def hist(**options: Any) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(**{"max_iter": 6, "random_state": 0} | options)


def voting(*members: Any, **options: Any) -> VotingClassifier:
    return VotingClassifier([(f"m{i}", member) for i, member in enumerate(members)], voting="soft", **options)


def calibrated(member: Any, method: str = "sigmoid", **options: Any) -> CalibratedClassifierCV:
    return CalibratedClassifierCV(member, method=method, cv=2, **options)


def isolation(**options: Any) -> IsolationForest:
    return IsolationForest(n_estimators=20, random_state=0, **options)


def fit(model: Any, rows: Any, target: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(rows, target)


def around(rows: Floats) -> Floats:
    """Three thousand rows: those given, some moved by a little and some by much, and a few at the edge of floats."""
    rng = np.random.default_rng(0)
    moved: Floats = rows[rng.integers(0, len(rows), 3000)]
    moved += rng.normal(size=moved.shape) * rows.std(axis=0) * rng.choice([0.0, 1e-4, 1.0], (3000, 1))
    moved[:9, 0] = [0.0, -0.0, 5e-324, -5e-324, 1e30, -1e30, 1e37, -1e37, 1e-30]
    return moved


TWO, THREE = (ROWS, BENIGN), (PLANTS, NAMES)
MODELS: dict[str, tuple[Callable[[], Any], tuple[Any, Any], float]] = {
    "isolation": (lambda: isolation(), (ROWS, None), 1e-12),
    "isolation with a threshold of its rows": (lambda: isolation(contamination=0.125), (ROWS, None), 1e-12),
    "isolation of chosen columns and rows": (
        lambda: isolation(max_features=0.5, bootstrap=True, max_samples=60), (ROWS, None), 1e-12,
    ),
    "isolation behind scaler": (lambda: make_pipeline(StandardScaler(), isolation()), (ROWS, None), 1e-12),
    "labels of several targets": (lambda: forest(), (ROWS, LABELS), 1e-12),
    "text of several targets": (
        lambda: ExtraTreesClassifier(5, max_depth=4, random_state=0), (ROWS, LABELS.astype(str)), 1e-12,
    ),
    "a target of one class": (lambda: forest(), (ROWS, np.stack([BENIGN, 0 * BENIGN], axis=1)), 1e-12),
    "voting": (lambda: voting(forest(), boosting()), TWO, 1e-12),
    "voting of both precisions": (lambda: voting(forest(), hist(), weights=[1, 2.5]), THREE, 1e-12),
    "voting without one": (lambda: voting(forest(), hist(), boosting(), weights=[1, 0, 2]), THREE, 1e-12),
    "voting of pipelines": (
        lambda: voting(make_pipeline(StandardScaler(), forest()), make_pipeline(MinMaxScaler(), hist()), boosting()),
        THREE, 1e-12,
    ),
    "voting behind scaler": (
        lambda: make_pipeline(StandardScaler(), voting(forest(), make_pipeline(MinMaxScaler(), hist()))), THREE, 1e-12,
    ),
    "voting of regressors": (
        lambda: VotingRegressor(
            [
                ("a", RandomForestRegressor(5, max_depth=4, random_state=0)),
                ("b", GradientBoostingRegressor(n_estimators=5)),
                ("c", HistGradientBoostingRegressor(max_iter=5, loss="poisson")),
            ],
            weights=[1, 2, 3],
        ),
        (PATIENTS, PROGRESS), 1e-9,
    ),
    "sigmoid of forests": (lambda: calibrated(forest()), TWO, 1e-12),
    "sigmoid of boosting, three classes": (lambda: calibrated(hist()), THREE, 1e-12),
    "sigmoid of forests, three classes": (lambda: calibrated(forest()), THREE, 1e-12),
    "sigmoid of exponential loss, one for all": (
        lambda: calibrated(boosting(loss="exponential"), ensemble=False), TWO, 1e-12,
    ),
    "isotonic of forests": (lambda: calibrated(forest(), "isotonic"), TWO, 1e-8),
    "isotonic of boosting": (lambda: calibrated(hist(), "isotonic"), TWO, 1e-6),
    "isotonic of forests, three classes": (lambda: calibrated(forest(), "isotonic"), THREE, 1e-8),
    "isotonic of boosting, three classes": (lambda: calibrated(hist(), "isotonic"), THREE, 1e-6),
    "calibrated pipeline that was fitted": (
        lambda: CalibratedClassifierCV(FrozenEstimator(make_pipeline(StandardScaler(), hist()).fit(ROWS, BENIGN))),
        TWO, 1e-12,
    ),
    "voting of calibrated": (
        lambda: voting(calibrated(forest()), make_pipeline(StandardScaler(), calibrated(hist()))), TWO, 1e-12,
    ),
    "calibrated voting": (lambda: calibrated(voting(forest(), hist())), TWO, 1e-12),
}  # fmt: skip
if "temperature" in CalibratedClassifierCV._parameter_constraints["method"][0].options:  # scikit-learn 1.8 and later
    MODELS |= {
        "temperature of boosting": (lambda: calibrated(hist(), "temperature"), TWO, 1e-12),
        "temperature of boosting, three classes": (lambda: calibrated(hist(), "temperature"), (PLANTS, KIND), 1e-12),
        "temperature of forests": (lambda: calibrated(forest(), "temperature"), TWO, 1e-9),
        "temperature of forests, three classes": (lambda: calibrated(forest(), "temperature"), (PLANTS, KIND), 1e-9),
    }


def bits(outputs: dict[str, NDArray[Any]]) -> list[tuple[str, Any, Any]]:
    return [(name, a.dtype, a.tolist() if a.dtype == object else a.tobytes()) for name, a in outputs.items()]


def answers(model: Any, rows: Any, names: Any) -> dict[str, Any]:
    """What the source itself says, by the names of the contract."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if "score" in names:
            return {"label": model.predict(rows), "score": model.decision_function(rows)}
        if "prediction" in names:
            return {"prediction": model.predict(rows)}
        shares = model.predict_proba(rows)
        if "probabilities" in names:
            return {"label": model.predict(rows), "probabilities": shares}
        return {"label": model.predict(rows), **{f"probabilities_{i}": own for i, own in enumerate(shares)}}


@pytest.mark.parametrize("name", MODELS)
def test_joined_models_answer_as_their_source_with_the_same_bits_everywhere(name: str) -> None:
    """Thousands of rows: labels equal, numbers near, and no bit depends on the block or on being alone."""
    make, (rows, target), near = MODELS[name]
    model = fit(make(), rows, target)
    device = convert(model, data=rows).model()
    assert device.manifest is not None
    assert device.manifest.ending.kind != "graph"
    tried = around(rows)
    found = device.predict(tried)
    for output, wanted in answers(model, tried, found).items():
        assert found[output].shape == np.shape(wanted)
        if output == "label":
            assert found[output].tolist() == wanted.tolist()
        else:
            assert (np.abs(found[output] - wanted) / np.maximum(np.abs(wanted), 1.0)).max() <= near
    first = bits({output: values[:200] for output, values in found.items()})
    for size in (1, 7, 200):
        blocks = [device.predict(tried[start : start + size]) for start in range(0, 200, size)]
        joined = {output: np.concatenate([block[output] for block in blocks])[:200] for output in found}
        assert bits(joined) == first
    columns = [column.name for column in device.schema.columns]
    alone = [device.predict_one(dict(zip(columns, row.tolist(), strict=True))) for row in tried[:200]]
    assert bits({output: np.array([one[output] for one in alone], a.dtype) for output, a in found.items()}) == first


def statements(conversion: Conversion) -> str:
    return "\n".join(conversion.report.statements)


def test_the_certificate_claims_only_what_is_proven() -> None:
    """A bound where every link has one; where a map is too steep, probabilities are checked, and routing is proven."""
    sums = statements(convert(fit(calibrated(forest()), *TWO), data=ROWS))
    assert "proven: every float64 input is routed as by the source" in sums
    assert "so labels agree wherever no other probability is within" in sums
    steep = statements(convert(fit(calibrated(hist(), "isotonic"), *THREE), data=PLANTS))
    assert "proven: every float64 input is routed as by the source" in steep
    assert "checked: probabilities, as they follow from the raw sum too steeply for a bound" in steep
    assert "labels agree" not in steep


def test_a_row_at_the_threshold_of_outliers_is_none() -> None:
    """A threshold that is a percentile of training rows is the score of one of them: 0 there, and so no outlier."""
    rows = ROWS[:401]
    model = isolation(contamination=0.125).fit(rows)
    scores = model.decision_function(rows)
    assert (scores == 0.0).any()
    found = convert(model, data=rows).model().predict(rows)
    assert found["label"].tolist() == model.predict(rows).tolist()
    assert (found["label"] == np.where(found["score"] < 0.0, -1, 1)).all()


def test_a_half_of_an_isotonic_map_stays_a_half() -> None:
    """Rows that a map was fitted on are its knots: what is level there is so here, to the last bit, and ties are ties."""
    frame = pd.DataFrame(ROWS, columns=list("abcde"))
    columns = make_column_transformer((StandardScaler(), ["a", "b"]), remainder="passthrough")
    model = CalibratedClassifierCV(
        FrozenEstimator(make_pipeline(columns, hist(max_iter=20)).fit(frame, BENIGN)), method="isotonic"
    ).fit(frame, BENIGN)
    found = convert(model, data=frame).model().predict(frame)
    wanted = model.predict_proba(frame)
    assert (wanted == 0.5).all(axis=1).any()
    assert found["label"].tolist() == model.predict(frame).tolist()
    assert ((wanted == 0.5) == (found["probabilities"] == 0.5)).all()


def test_folds_may_have_seen_different_categories() -> None:
    """Each fold's encoder knows its own; a text is encoded as each of them does it."""
    rng = np.random.default_rng(1)
    text = rng.choice(["a", "b", "c", "d"], len(ROWS)).astype(object)
    text[[0, 300]] = ["only here", "or there"]
    frame = pd.DataFrame({"size": ROWS[:, 0], "text": text})
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    member = make_pipeline(make_column_transformer((encoder, ["text"]), remainder="passthrough"), forest())
    model = calibrated(member).fit(frame, BENIGN)
    device = convert(model, data=frame).model()
    tried = frame.assign(text=np.resize(["only here", "or there", "never seen", "a"], len(frame)).astype(object))
    assert device.predict(tried)["label"].tolist() == model.predict(tried).tolist()
    assert np.abs(device.predict(tried)["probabilities"] - model.predict_proba(tried)).max() < 1e-12


def test_columns_that_no_member_looks_at_are_no_columns() -> None:
    """Each member picks its own; what is left over need not come."""
    frame = pd.DataFrame(ROWS, columns=list("abcde")).assign(note="text")
    members = [make_pipeline(make_column_transformer((StandardScaler(), own)), forest()) for own in (["a", "b"], ["b"])]
    device = convert(fit(voting(*members), frame, BENIGN), data=frame).model()
    assert [column.name for column in device.schema.columns] == ["a", "b"]


def test_a_decision_goes_with_joined_models() -> None:
    """The second class's joined probability, against the threshold."""
    model = fit(calibrated(voting(forest(), hist())), *TWO)
    device = convert(model, data=ROWS, decision=Decision("benign", "send_home", 0.7)).model()
    found = device.predict(ROWS)
    assert np.abs(found["benign"] - model.predict_proba(ROWS)[:, 1]).max() < 1e-12
    assert (found["send_home"] == (found["benign"] > 0.7)).all()
    one = device.predict_one(
        dict(zip([column.name for column in device.schema.columns], ROWS[3].tolist(), strict=True))
    )
    assert one == {"benign": found["benign"][3], "send_home": bool(found["send_home"][3])}


def test_a_decision_needs_one_target() -> None:
    """Two targets are not two classes."""
    model = forest().fit(ROWS, LABELS[:, :2])
    with pytest.raises(UnsupportedModelError, match="a decision needs a classifier of two classes"):
        convert(model, data=ROWS, decision=Decision("a", "b"))


def test_members_run_on_one_thread_and_the_source_stays_as_it_is() -> None:
    """scikit-learn's forests add in another order with two; the caller's object keeps its setting."""
    model = fit(voting(forest(n_jobs=2), calibrated(forest(n_jobs=2))), *TWO)
    convert(model, data=ROWS)
    assert model.estimators_[0].n_jobs == 2
    assert model.estimators_[1].calibrated_classifiers_[0].estimator.n_jobs == 2


OTHERS: dict[str, Callable[[], Any]] = {
    "by majority": lambda: VotingClassifier([("a", forest()), ("b", forest(max_features=1))]),
    "with a linear model": lambda: voting(forest(), LogisticRegression(max_iter=1000)),
    "with a negative weight": lambda: voting(forest(), boosting(), weights=[2, -1]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_joined_takes_the_usual_way(name: str) -> None:
    """Checked against its source there, or refused; never joined."""
    model = fit(OTHERS[name](), *TWO)
    with pytest.raises((UnsupportedModelError, ParityError), match=r"not lowered|does not answer as its source"):
        convert(model, data=ROWS)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost", "catboost"])
def test_boosters_are_joined_like_trees_of_scikit_learn(library: str) -> None:
    """In voting beside others, and calibrated; XGBoost adds in float32, and so the bound is wider."""
    module = pytest.importorskip(library)
    makes = {
        "lightgbm": lambda: module.LGBMClassifier(n_estimators=6, verbose=-1),
        "xgboost": lambda: module.XGBClassifier(n_estimators=6),
        "catboost": lambda: module.CatBoostClassifier(iterations=6, verbose=0, allow_writing_files=False),
    }
    near = 1e-6 if library == "xgboost" else 1e-12
    models = [voting(makes[library](), forest(), hist()), Pipeline([("v", voting(makes[library](), boosting()))])]
    if library != "catboost":
        models.append(calibrated(makes[library]()))
    for model in models:
        fit(model, *TWO)
        device = convert(model, data=ROWS).model()
        tried = around(ROWS)[9:]
        wanted = answers(model, tried, ["probabilities"])
        found = device.predict(tried)
        assert found["label"].tolist() == wanted["label"].tolist()
        assert np.abs(found["probabilities"] - wanted["probabilities"]).max() <= near
