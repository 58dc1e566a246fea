"""XGBoost: every kind of model that is read answers as XGBoost does, and every kind that is not is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

import edge_runtime
from edge_runtime.converters import Conversion, Decision, convert
from edge_runtime.converters.data import read_data
from edge_runtime.converters.exact.ensemble import Ensemble
from edge_runtime.converters.source import Request, read_source
from edge_runtime.converters.sources import xgboost as reader
from edge_runtime.errors import InputError, UnsupportedModelError
from edge_runtime.golden import differences
from edge_runtime.model import Model

xgboost = pytest.importorskip("xgboost")

Arrays = dict[str, NDArray[Any]]
Made = tuple[Any, Any]  # a fitted model and rows as it takes them
CLOSE = 2e-6  # XGBoost adds a dozen leaves in float32
QUICK = {"n_estimators": 10, "max_depth": 4, "random_state": 0, "n_jobs": 1}
NATIVE = {"max_depth": 4, "seed": 0, "nthread": 1}


def numbers(n: int = 400, missing: float = 0.1) -> NDArray[np.float64]:
    """Four columns: normal, few values with both zeros, whole, and of widely different sizes."""
    rng = np.random.default_rng(0)
    made = rng.normal(size=(n, 4))
    made[:, 1] = rng.choice([0.0, -0.0, 1e-300, -1e-36, 2e-35, -1.0, 1.0, 3.0], n)
    made[:, 2] = rng.integers(0, 12, n)
    made[:, 3] = 10.0 ** rng.uniform(-30, 30, n)
    made[rng.random(made.shape) < missing] = np.nan
    return made


def target_of(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    filled = np.nan_to_num(rows)
    made = filled[:, 0] + (filled[:, 1] > 0) - 0.7 * np.isin(filled[:, 2], [1, 4, 5, 9]) + 0.02 * np.log1p(filled[:, 3])
    return np.asarray(made + np.isnan(rows[:, 0]) + 0.1 * np.random.default_rng(1).normal(size=len(rows)), np.float64)


def two(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    return (target_of(rows) > 0.5).astype(np.int64)


def three(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.digitize(target_of(rows), [0.0, 1.0])


def counts(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 + np.floor(np.exp(np.clip(target_of(rows), -1, 3))))


def targets(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    made = target_of(rows)
    return np.column_stack([made, -made, made**2])


def frame(n: int = 500) -> pd.DataFrame:
    """Numbers of several dtypes, and categories of text and of integers, some missing."""
    rng = np.random.default_rng(2)
    kinds = pd.Series(rng.choice(["x", "y", "z", "w", "", "a b", *"fghij"], n)).where(rng.random(n) > 0.05)
    return pd.DataFrame(
        {
            "a number": numbers(n)[:, 0],
            "narrow": rng.normal(size=n).astype(np.float32),
            "kind": pd.Categorical(kinds, ["z", "y", "x", "w", "", "a b", *"jihgf"]),
            "code": pd.Categorical(rng.choice(np.array([10, 20, 30, 300], np.int16), n)),
            "flag": rng.random(n) < 0.4,
            "small": rng.integers(-5, 100, n).astype(np.int16),
        }
    )


def framed_target(rows: pd.DataFrame) -> NDArray[np.int64]:
    made = rows["a number"].fillna(1.0) + rows["kind"].isin([*"yzfh", "a b"]) * 2.0 - (rows["code"].astype(int) == 20)
    return np.asarray(made + rows["flag"] + 0.02 * rows["small"] > 2.0, np.int64)


def texts() -> pd.DataFrame:
    """What stands in a file: text and integers where training had categories."""
    rows = frame()
    return rows.assign(kind=rows["kind"].astype(object), code=rows["code"].astype(np.int64))


def fitted(make: Callable[[], Any], target: Callable[..., Any] = two, dtype: type = np.float64) -> Made:
    rows = numbers()
    return make().fit(rows.astype(dtype), target(rows)), rows.astype(dtype)


def trained(target: Callable[..., Any] = two, rounds: int = 10, **options: Any) -> Made:
    rows = numbers()
    return xgboost.train({**NATIVE, **options}, xgboost.DMatrix(rows, target(rows), nthread=1), rounds), rows


def classifier(**options: Any) -> Any:
    return xgboost.XGBClassifier(**{**QUICK, **options})


def regressor(**options: Any) -> Any:
    return xgboost.XGBRegressor(**{**QUICK, **options})


def stopped_early() -> Made:
    rows, model = numbers(), classifier(n_estimators=60, learning_rate=0.6, early_stopping_rounds=3)
    model.fit(rows[:200], three(rows[:200]), eval_set=[(rows[200:], three(rows[200:]))], verbose=False)
    assert 0 < model.best_iteration < model.get_booster().num_boosted_rounds() - 1
    return model, rows


def stopped_early_as_booster() -> Made:
    model, rows = stopped_early()
    return model.get_booster(), rows


def ranked() -> Made:
    rows = numbers()
    return xgboost.XGBRanker(**QUICK).fit(rows, three(rows), qid=np.arange(len(rows)) // 20), rows


def from_a_start() -> Made:
    rows = numbers()
    start = np.random.default_rng(3).normal(size=len(rows))
    matrix = xgboost.DMatrix(rows, two(rows), base_margin=start, nthread=1)
    return xgboost.train({**NATIVE, "objective": "binary:logistic"}, matrix, 8), rows


def of_categories(rows: Callable[[], pd.DataFrame] = frame, **options: Any) -> Made:
    return classifier(enable_categorical=True, **options).fit(frame(), framed_target(frame())), rows()


def of_categories_as_booster(rows: Callable[[], pd.DataFrame] = frame) -> Made:
    matrix = xgboost.DMatrix(frame(), framed_target(frame()), enable_categorical=True, nthread=1)
    return xgboost.train({**NATIVE, "objective": "binary:logistic"}, matrix, 10), rows()


def in_another_order() -> pd.DataFrame:
    """Other categories than training had, in another order: XGBoost goes by what they are."""
    rows = frame().iloc[:120]
    kinds = rows["kind"].cat.set_categories(["f", "x", "y", "", "h", "g", "z", "i", "w", "j", "a b"])
    return rows.assign(kind=kinds, code=rows["code"].cat.set_categories(np.array([300, 30, 20, 10], np.int16)))


def of_integer_codes() -> Made:
    """Categories by their codes, in integer columns: negative ones and unseen ones are in no split's list."""
    rng = np.random.default_rng(4)
    rows = np.column_stack([rng.integers(0, 9, 400), rng.integers(-40, 40, 400)])
    matrix = xgboost.DMatrix(rows, np.isin(rows[:, 0], [1, 4, 7]) ^ (rows[:, 1] > 3), feature_types=["c", "int"])
    return xgboost.train({**NATIVE, "objective": "binary:logistic", "max_cat_to_onehot": 1}, matrix, 5), rows


def behind(transformer: Any, **options: Any) -> Made:
    rows = texts()[["a number", "small", "kind", "code"]].astype({"small": np.float64})
    rows.loc[::9, "small"] = np.nan
    return make_pipeline(transformer, classifier(**options)).fit(rows, framed_target(frame())), rows


def prepared(number: Any, text: Any, **options: Any) -> Any:
    return make_column_transformer((number, ["a number", "small"]), (text, ["kind", "code"]), **options)


def one_hot() -> Any:
    return OneHotEncoder(handle_unknown="ignore")


def codes() -> Any:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def scaled() -> Any:
    return make_pipeline(SimpleImputer(), StandardScaler())


FITTED: dict[str, Callable[[], Made]] = {
    "two classes": partial(fitted, classifier),
    "three classes": partial(fitted, classifier, three),
    "three classes, softmax": partial(fitted, partial(classifier, objective="multi:softmax"), three),
    "two classes, softmax": partial(fitted, partial(classifier, objective="multi:softmax", num_class=2)),
    "logistic regression as a classifier": partial(fitted, partial(classifier, objective="reg:logistic")),
    "a base score": partial(fitted, partial(classifier, base_score=0.2)),
    "a base score per class": partial(fitted, partial(classifier, base_score=[0.1, 0.2, 0.7]), three),
    "one round": partial(fitted, partial(classifier, n_estimators=1)),
    "a stump": partial(fitted, partial(classifier, n_estimators=1, max_depth=1)),
    "no split": partial(fitted, partial(classifier, gamma=1e9)),
    "pruned": partial(fitted, partial(classifier, tree_method="exact", gamma=1.0)),
    "by leaves": partial(fitted, partial(classifier, grow_policy="lossguide", max_leaves=7, max_depth=0)),
    "parallel trees": partial(fitted, partial(classifier, num_parallel_tree=3, subsample=0.5), three),
    "constraints": partial(
        fitted,
        partial(regressor, monotone_constraints=(1, 0, 0, -1), interaction_constraints="[[0,1],[2,3]]"),
        target_of,
    ),
    "dart": partial(fitted, partial(classifier, booster="dart", rate_drop=0.4)),
    "dart, three classes": partial(fitted, partial(classifier, booster="dart", rate_drop=0.4), three),
    "dart far from zero": partial(
        fitted, partial(regressor, booster="dart", rate_drop=0.4), lambda rows: 1e4 + target_of(rows)
    ),
    "random forest": partial(fitted, partial(xgboost.XGBRFClassifier, **QUICK), three),
    "random forest regressor": partial(fitted, partial(xgboost.XGBRFRegressor, **QUICK), target_of),
    "regressor": partial(fitted, regressor, target_of),
    "three targets": partial(fitted, regressor, targets),
    "three targets, leaves that are vectors": partial(
        fitted, partial(regressor, multi_strategy="multi_output_tree"), targets
    ),
    "three classes, leaves that are vectors": partial(
        fitted, partial(classifier, multi_strategy="multi_output_tree"), three
    ),
    **{
        objective: partial(fitted, partial(regressor, objective=objective), counts)
        for objective in (
            "count:poisson", "reg:gamma", "reg:tweedie", "reg:squaredlogerror", "reg:pseudohubererror",
            "reg:absoluteerror",
        )
    },
    "a probability as a regression": partial(
        fitted, partial(regressor, objective="reg:logistic"), lambda rows: 1 / (1 + np.exp(-target_of(rows)))
    ),
    "two classes in a regressor": partial(fitted, partial(regressor, objective="binary:logistic")),
    "quantiles": partial(
        fitted, partial(regressor, objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9]), target_of
    ),
    "ranker": ranked,
    "stopped early": stopped_early,
    "float32 rows": partial(fitted, classifier, dtype=np.float32),
    "categories": of_categories,
    "categories, one against the rest": partial(of_categories, max_cat_to_onehot=50),
    "categories in another order": partial(of_categories, in_another_order),
    "categories as text": partial(of_categories, texts),
    "behind a scaler and one-hot": partial(behind, prepared(scaled(), one_hot(), sparse_threshold=0.0)),
    "behind codes": partial(behind, prepared(SimpleImputer(), codes())),
    "behind codes that are categories": partial(
        behind, prepared(scaled(), codes()), enable_categorical=True, feature_types=["q", "q", "c", "c"]
    ),
    "behind a sparse matrix": partial(behind, prepared(scaled(), one_hot(), sparse_threshold=1.0)),
    "behind a sparse matrix, missing kept": partial(
        behind, prepared(StandardScaler(), one_hot(), sparse_threshold=1.0)
    ),
    "behind a sparse matrix, as they are": partial(behind, prepared("passthrough", one_hot(), sparse_threshold=1.0)),
    "behind a sparse matrix, scaled there": partial(
        behind, make_pipeline(prepared("passthrough", one_hot(), sparse_threshold=1.0), MaxAbsScaler())
    ),
    "behind a sparse matrix, many numbers are zero": partial(
        behind, prepared(make_pipeline(SimpleImputer(), MinMaxScaler((-1, 1))), one_hot(), sparse_threshold=1.0)
    ),
}  # fmt: skip
BOOSTERS: dict[str, Callable[[], Made]] = {
    "Booster": partial(trained, objective="binary:logistic"),
    "Booster of three classes": partial(trained, three, objective="multi:softprob", num_class=3),
    "Booster of three classes, softmax": partial(trained, three, objective="multi:softmax", num_class=3),
    "Booster of two classes, softprob": partial(trained, objective="multi:softprob", num_class=2),
    "Booster, regression": partial(trained, target_of),
    "Booster, counts": partial(trained, counts, objective="count:poisson"),
    "Booster, a probability": partial(trained, objective="reg:logistic"),
    "Booster, margins": partial(trained, objective="binary:logitraw"),
    "Booster, ranks": partial(trained, objective="rank:pairwise"),
    "Booster, dart": partial(trained, objective="binary:logistic", booster="dart", rate_drop=0.4),
    "Booster, stopped early": stopped_early_as_booster,
    "Booster with a base margin": from_a_start,
    "Booster of categories": of_categories_as_booster,
    "Booster of categories as text": partial(of_categories_as_booster, texts),
    "Booster of categories in another order": partial(of_categories_as_booster, in_another_order),
    "Booster of integer codes": of_integer_codes,
}


class Case:
    """A model, its rows, the conversion, and the bundle loaded."""

    def __init__(self, name: str, folder: Path) -> None:
        self.source, self.rows = {**FITTED, **BOOSTERS}[name]()
        self.conversion: Conversion = convert(self.source, data=self.rows, name=name)
        self.path = folder / "model.edge"
        self.conversion.save(self.path)
        self.model: Model = edge_runtime.load(self.path, threads=1)

    def answers(self, rows: Any) -> Arrays:
        if isinstance(self.source, xgboost.Booster):
            return answers_of_booster(self.source, rows)
        calls = {"label": "predict", "prediction": "predict", "probabilities": "predict_proba"}
        names = [output.name for output in self.model.schema.outputs]
        return {name: np.asarray(getattr(self.source, calls[name])(rows)) for name in names}


def answers_of_booster(booster: Any, rows: Any) -> Arrays:
    """By the objective; labels are 0 to K - 1."""
    kinds = booster.feature_types if isinstance(rows, np.ndarray) else None
    matrix = xgboost.DMatrix(rows, enable_categorical=True, feature_types=kinds)
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    made = booster.predict(matrix)
    if objective == "binary:logistic":
        return {"label": (made > 0.5).astype(int), "probabilities": np.column_stack([1 - made, made])}
    if objective == "multi:softprob":
        return {"label": made.argmax(axis=1), "probabilities": made}
    if objective == "multi:softmax":
        powers = np.exp(booster.predict(matrix, output_margin=True).astype(np.float64))
        return {"label": made.astype(int), "probabilities": powers / powers.sum(axis=1, keepdims=True)}
    return {"prediction": made}


@pytest.fixture(scope="session")
def case_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """The case of a name, converted once in a session."""
    return cache(lambda name: Case(name, tmp_path_factory.mktemp("xgboost")))


@pytest.fixture(params=[*FITTED, *BOOSTERS])
def case(request: pytest.FixtureRequest, case_of: Callable[[str], Case]) -> Case:
    """Each case."""
    return case_of(request.param)


def as_frame(case: Case) -> Any:
    """Rows as the source takes them where it was trained on categories and is given what stands in a file."""
    booster = case.source if isinstance(case.source, xgboost.Booster) else getattr(case.source, "get_booster", None)
    known = booster() if callable(booster) else booster
    if not isinstance(case.rows, pd.DataFrame) or known is None or "c" not in (known.feature_types or []):
        return case.rows
    made = case.rows.copy()
    for name in ("kind", "code"):
        made[name] = pd.Categorical(made[name], frame()[name].cat.categories)
    return made


def test_every_row_is_answered_as_xgboost_answers_it(case: Case) -> None:
    """No label differs, and no number by more than what adding a dozen float32 leaves rounds."""
    wanted, found = case.answers(as_frame(case)), case.model.predict(case.rows)
    assert list(found) == list(wanted)
    for name, reference in wanted.items():
        assert found[name].shape == reference.shape
        gap = float(differences(found[name], reference).max())
        assert gap <= (0.0 if name == "label" else min(case.conversion.report.largest[name] + 1e-12, CLOSE))


def test_the_routing_is_proven_and_the_bundle_verifies(case: Case) -> None:
    """No case is merely checked; the library is named in the provenance."""
    manifest = case.model.manifest
    assert manifest is not None
    assert any(text.startswith("proven: every float") for text in manifest.certificate.statements)
    assert {"library.xgboost", "library.xgboost-cpu"} & set(manifest.provenance)
    assert case.model.verify().ok


def test_no_bit_depends_on_the_other_rows_or_on_threads(case: Case) -> None:
    """One row, blocks, and as many rows as two threads share: the same bits."""
    model, rows = case.model, case.rows
    whole = model.predict(rows)
    for size in (1, 7):
        at = range(0, 35, size)
        blocks = [model.predict(rows[k : k + size]) for k in at]
        for name, array in whole.items():
            assert np.concatenate([block[name] for block in blocks]).tobytes() == array[:35].tobytes()
    picked = np.arange(5000) % len(rows)
    many = rows.iloc[picked] if isinstance(rows, pd.DataFrame) else rows[picked]
    two_threads = edge_runtime.load(case.path, threads=2).predict(many)
    for name, array in whole.items():
        assert two_threads[name].tobytes() == array[picked].tobytes()


@pytest.mark.parametrize(
    "name", ["two classes", "three classes", "dart, three classes", "parallel trees", "stopped early", "quantiles"]
)
def test_leaves_added_in_float32_are_the_margin_of_xgboost(case_of: Callable[[str], Case], name: str) -> None:
    """Bit for bit: the base, and each row's leaf of each tree in turn. So routing, leaves and base are XGBoost's own,
    and numbers differ by nothing but the order and precision of adding."""
    case = case_of(name)
    source = read_source(case.source, Request(read_data(case.rows), "auto", None))
    assert source.leaves is not None
    session = onnxruntime.InferenceSession(source.leaves.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = np.concatenate([case.rows, np.random.default_rng(7).normal(size=(3000, 4))])
    reached = session.run(None, {"x": rows})[0].astype(int)
    made = reader.head(case.source)
    assert made is not None
    assert isinstance(made.body, Ensemble)
    total = np.tile(made.body.base.astype(np.float32), (len(rows), 1))
    for place, tree in enumerate(made.body.trees):
        total[:, tree.target] += tree.value[reached[:, place], 0].astype(np.float32)
    # Not the estimator's own way, which adds the base to each leaf of a dart and subtracts it again.
    margin = case.source.get_booster().predict(xgboost.DMatrix(rows), output_margin=True, iteration_range=best(case))
    assert total.tobytes() == np.ascontiguousarray(margin.reshape(total.shape)).tobytes()


def best(case: Case) -> tuple[int, int]:
    return (0, case.source.best_iteration + 1) if case.source.early_stopping_rounds else (0, 0)


def test_threshold_neighbours_take_the_same_branch(case_of: Callable[[str], Case]) -> None:
    """Around each threshold: five floats of 32 bits, and what lies halfway between, where rounding to float32 turns."""
    model, rows = trained(objective="binary:logistic", base_score=0.5)
    trees = json.loads(model.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    converted = convert(model, data=rows).model()
    asked = 0
    for column in range(4):
        found = [
            condition
            for tree in trees
            for condition, feature, left in zip(
                tree["split_conditions"], tree["split_indices"], tree["left_children"], strict=True
            )
            if left >= 0 and feature == column
        ]
        near = np.unique(np.array(found, np.float32))
        steps = [near]
        for toward in (-np.inf, np.inf):
            steps += [np.nextafter(near, np.float32(toward))]
            steps += [np.nextafter(steps[-1], np.float32(toward))]
        single = np.unique(np.concatenate(steps)).astype(np.float64)
        halfway = (single[1:] + single[:-1]) / 2
        values = np.concatenate([single, halfway, np.nextafter(halfway, -np.inf), np.nextafter(halfway, np.inf)])
        given = np.tile(rows[0], (len(values), 1))
        given[:, column] = values
        wanted = model.predict(xgboost.DMatrix(given))
        assert float(np.abs(converted.predict(given)["probabilities"][:, 1] - wanted).max()) <= CLOSE
        asked += len(values)
    assert asked > 200


def test_infinity_is_answered_where_xgboost_answers_it() -> None:
    """Its estimators take it for a very large number; a DMatrix, and so a Booster, refuses it and what becomes it."""
    estimator, rows = fitted(classifier)
    answering = convert(estimator, data=rows).model()
    row = rows[:1].copy()
    for value in (np.inf, -np.inf, 1e300, -1e300):
        row[0, 0] = value
        assert differences(answering.predict(row)["probabilities"], estimator.predict_proba(row)).max() <= CLOSE
    booster, rows = trained(objective="binary:logistic")
    refusing = convert(booster, data=rows).model()
    most = float(np.finfo(np.float32).max)
    row[0, 0] = most
    assert (
        differences(refusing.predict(row)["probabilities"][:, 1], booster.predict(xgboost.DMatrix(row))).max() <= CLOSE
    )
    for value in (np.inf, -np.inf, 1e300, most * (1 + 2.0**-24)):
        row[0, 0] = value
        with pytest.raises(xgboost.core.XGBoostError, match="contains `inf`"):
            booster.predict(xgboost.DMatrix(row))
        with pytest.raises(InputError):
            refusing.predict(row)


def test_an_estimator_stops_at_its_best_round_and_a_booster_goes_on(case_of: Callable[[str], Case]) -> None:
    """So do their conversions, of one and the same training."""
    stopped, on = case_of("stopped early"), case_of("Booster, stopped early")
    assert stopped.conversion.report.leaves < on.conversion.report.leaves
    first, second = (case.model.predict(stopped.rows)["probabilities"] for case in (stopped, on))
    assert float(np.abs(first - second).max()) > 1e-3


def test_the_decision_is_carried() -> None:
    """Score and decision under their names, as the source's probability has them."""
    model, rows = fitted(classifier)
    found = convert(model, data=rows, decision=Decision("risk", "alarm", 0.3)).model().predict(rows)
    score = model.predict_proba(rows)[:, 1]
    assert float(np.abs(found["risk"] - score).max()) <= CLOSE
    assert (found["alarm"] == (score > 0.3)).all()


# Categories


def test_an_unseen_category_is_refused(case_of: Callable[[str], Case]) -> None:
    """XGBoost says that it refuses one; up to 3.3 it takes one that sorts before a known one for the next, silently."""
    model = case_of("categories").model
    columns = {column.name: column for column in model.schema.columns}
    assert columns["kind"].categories == ("z", "y", "x", "w", "", "a b", *"jihgf")
    assert columns["code"].categories == (10, 20, 30, 300)
    assert not columns["kind"].open
    row = {**frame().iloc[0].to_dict(), "kind": "b"}
    with pytest.raises(InputError, match="kind"):
        model.predict_one(row)
    with pytest.raises(InputError, match="code"):
        model.predict_one({**row, "kind": "x", "code": 11})
    with pytest.raises(InputError, match=r"has a category that training did not have.*row 3"):
        convert(of_categories()[0], data=texts().assign(kind=["x", "y", "x", "b", *["x"] * 496]))


def test_a_missing_category_goes_its_own_way(case_of: Callable[[str], Case]) -> None:
    """Missing is no category, and no row of the data has it where it was not trained."""
    case = case_of("categories")
    rows = frame().iloc[:50].assign(code=pd.Categorical([None] * 50, frame()["code"].cat.categories))
    wanted = case.source.predict_proba(rows)
    assert float(np.abs(case.model.predict(rows)["probabilities"] - wanted).max()) <= CLOSE
    assert float(np.abs(wanted - case.source.predict_proba(frame().iloc[:50])).max()) > 0.01


def renamed(names: dict[str, str]) -> Made:
    rows = frame().assign(kind=frame()["kind"].cat.rename_categories(names))
    return classifier(enable_categorical=True).fit(rows, framed_target(frame())), rows


def test_other_text_than_ascii_goes_by_the_frame() -> None:
    """XGBoost keeps such names cut in the wrong places, so they cannot be told; a frame's own categories have to do."""
    model, rows = renamed({"f": "☃", "x": "ä"})
    found = convert(model, data=rows).model().predict(rows)
    assert float(np.abs(found["probabilities"] - model.predict_proba(rows)).max()) <= CLOSE
    with pytest.raises(UnsupportedModelError, match="the source refuses a row of its own data"):
        convert(model, data=rows.assign(kind=rows["kind"].astype(object)))


def test_categories_that_xgboost_mixes_up_are_refused() -> None:
    """Up to 3.3 it takes the last of these for the first, in its own answers."""
    model, rows = renamed({"x": "ä", "y": "☃☃", "z": "å"})
    with pytest.raises(UnsupportedModelError, match=r"takes two categories of feature 2 for one.*not ASCII"):
        convert(model, data=rows)


def test_codes_with_a_fraction_are_refused() -> None:
    """XGBoost reads 1.7 as category 1 and -0.5 as none: nothing that a set of numbers could say."""
    booster, rows = of_integer_codes()
    with pytest.raises(UnsupportedModelError, match="a number that may have a fraction is split by a set of values"):
        convert(booster, data=rows.astype(np.float64))


# Sparse matrices


def test_a_zero_that_a_sparse_matrix_leaves_out_is_missing(case_of: Callable[[str], Case]) -> None:
    """The mean, scaled, is zero and so missing to XGBoost; the next number is not, nor is one that was imputed."""
    case = case_of("behind a sparse matrix")
    scaler = case.source.steps[0][1].transformers_[0][1].steps[1][1]
    base = case.rows.iloc[[0] * 4].copy()
    mean = float(scaler.mean_[0])
    base["a number"] = [mean, float(np.nextafter(mean, 9.0)), float(np.nextafter(mean, -9.0)), np.nan]
    wanted = case.source.predict_proba(base)
    assert float(np.abs(case.model.predict(base)["probabilities"] - wanted).max()) <= CLOSE
    assert len({row.tobytes() for row in wanted}) > 1


# Files


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("stopped early", ".json"), ("stopped early", ".ubj"), ("Booster, stopped early", ".ubj"),
        ("categories as text", ".json"),
    ],
)  # fmt: skip
def test_a_file_answers_as_what_wrote_it(
    case_of: Callable[[str], Case], tmp_path: Path, name: str, suffix: str
) -> None:
    """An estimator's is an estimator again, with its best round; a Booster's is a Booster; no trust is asked for."""
    case = case_of(name)
    path = tmp_path / f"model{suffix}"
    case.source.save_model(path)
    conversion = convert(path, data=case.rows)
    assert conversion.name == type(case.source).__name__
    assert conversion.contents["graph.onnx"] == case.conversion.contents["graph.onnx"]
    assert conversion.manifest.provenance["source.file"] == path.name


def forged(change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> bytes:
    model = json.loads(trained(objective="binary:logistic", rounds=2)[0].save_raw("json"))
    change(model["learner"], model["learner"]["gradient_booster"]["model"]["trees"][0])
    return json.dumps(model).encode()


def put(name: str, at: int, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], Any]:
    return lambda learner, tree: tree[name].__setitem__(at, value)


FORGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "other JSON": (lambda: b'{"a": 1}', "Invalid cast"),
    "cut off": (lambda: forged(lambda learner, tree: None)[:700], "EOF"),
    "a circle": (lambda: forged(put("left_children", 1, 0)), "crashes|do not form a tree"),
    "a feature that there is not": (lambda: forged(put("split_indices", 0, 999)), "asks for what there is not|crashes"),
    "a leaf with a right child": (
        lambda: forged(lambda learner, tree: put("right_children", tree["left_children"].index(-1), -9)(learner, tree)),
        "asks for what there is not",
    ),
    "a leaf whose left child is none": (
        lambda: forged(lambda learner, tree: put("left_children", tree["left_children"].index(-1), -9)(learner, tree)),
        "asks for what there is not|crashes",
    ),
    "a name that is not UTF-8": (
        lambda: forged(lambda learner, tree: learner.update(feature_names=["a", "b", "c", "?!"])).replace(
            b"?!", b"\xad"
        ),
        "a text in it is not UTF-8",
    ),
    "a base score of 7": (
        lambda: forged(lambda learner, tree: learner["learner_model_param"].update(base_score="[7E0]")),
        "base_score must be in",
    ),
    "billions of features": (
        lambda: forged(lambda learner, tree: learner["learner_model_param"].update(num_feature="4000000000")),
        "bad_alloc|features|crashes",
    ),
}


@pytest.mark.parametrize(("forge", "says"), FORGED.values(), ids=list(FORGED))
def test_a_malformed_file_is_refused_in_one_line(tmp_path: Path, forge: Callable[[], bytes], says: str) -> None:
    """Also where XGBoost itself ends in a segmentation fault: that is another process."""
    path = tmp_path / "model.json"
    path.write_bytes(forge())
    with pytest.raises(UnsupportedModelError, match=says) as refusal:
        convert(str(path), data=numbers())
    assert str(refusal.value).startswith(f"{path}: not a model of XGBoost (")
    assert str(refusal.value).endswith("pass a file that save_model wrote")
    assert "\n" not in str(refusal.value)


def test_flipped_bits_are_refused_or_harmless(tmp_path: Path) -> None:
    """Whatever they make of a binary file, this process lives on and no foreign error comes through."""
    raw, rng = trained(objective="binary:logistic", rounds=2)[0].save_raw("ubj"), np.random.default_rng(5)
    refused = 0
    for number in range(3):
        flipped = bytearray(raw)
        flipped[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
        path = tmp_path / f"{number}.ubj"
        path.write_bytes(flipped)
        try:
            reader.open(str(path))
        except UnsupportedModelError:
            refused += 1
    assert refused > 0


def test_every_float32_survives_the_way_through_text() -> None:
    """Leaves and thresholds are read from JSON: each decimal stands for one float32, whatever its bits."""
    model = json.loads(trained(objective="binary:logistic", rounds=1, base_score=0.5)[0].save_raw("json"))
    (tree,) = model["learner"]["gradient_booster"]["model"]["trees"]
    bits = np.random.default_rng(6).integers(0, 2**32, (50, len(tree["split_conditions"])), np.uint32)
    for row in bits.view(np.float32):
        values = np.where(np.isfinite(row), row, np.float32(1.5))
        tree["split_conditions"] = [float(value) for value in values]
        booster = xgboost.Booster(model_file=bytearray(json.dumps(model).encode()))
        (written,) = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
        assert np.array(written["split_conditions"]).astype(np.float32).tobytes() == values.tobytes()


# Refusals

TWO_LABELS: Callable[..., Any] = lambda rows: np.column_stack([two(rows), 1 - two(rows)])  # noqa: E731
REFUSED: dict[str, tuple[Callable[[], Made], str]] = {
    "linear": (lambda: fitted_full(xgboost.XGBClassifier(booster="gblinear", n_jobs=1)), "the booster is gblinear"),
    "another missing value": (lambda: fitted_full(classifier(missing=-1.0)), r"missing=-1\.0 stands for a missing"),
    "hinge": (partial(trained, objective="binary:hinge"), "the objective binary:hinge"),
    "several labels": (partial(fitted, classifier, TWO_LABELS), "with 2 raw sums in a classifier of 2 classes"),
    "two classes, softprob": (
        partial(fitted, partial(classifier, objective="multi:softprob", num_class=2)), "the objective multi:softprob"
    ),
    "one class": (partial(fitted, partial(classifier, base_score=0.5), lambda rows: two(rows) * 0), "a classifier of 1 classes"),
    "no trees": (partial(fitted, partial(classifier, n_estimators=0)), "the model has no trees"),
}  # fmt: skip


def fitted_full(model: Any) -> Made:
    rows = np.nan_to_num(numbers())
    return model.fit(rows, two(rows)), rows


@pytest.mark.parametrize(("made", "says"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_told_exactly_is_refused(made: Callable[[], Made], says: str) -> None:
    """With the reason, and what would be right."""
    model, rows = made()
    with pytest.raises(UnsupportedModelError, match=says) as refusal:
        convert(model, data=rows)
    assert "; " in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_unfitted_estimator_is_refused() -> None:
    """As those of scikit-learn are."""
    with pytest.raises(UnsupportedModelError, match="XGBClassifier is not fitted"):
        convert(classifier(), data=numbers())


@pytest.mark.parametrize("name", ["two classes", "Booster"])
def test_the_given_model_stays_as_it_is(name: str) -> None:
    """Its trees, its parameters and its threads."""
    model, rows = {**FITTED, **BOOSTERS}[name]()
    booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
    booster.set_param({"nthread": 2})
    before = booster.save_config(), booster.save_raw("json"), booster.attributes()
    convert(model, data=rows)
    assert (booster.save_config(), booster.save_raw("json"), booster.attributes()) == before


def test_names_of_a_booster_go_to_an_array() -> None:
    """Rows without names get those of training."""
    rows = numbers()
    matrix = xgboost.DMatrix(rows, two(rows), feature_names=["p", "q", "r", "s"], nthread=1)
    booster = xgboost.train({**NATIVE, "objective": "binary:logistic"}, matrix, 3)
    model = convert(booster, data=rows).model()
    assert [column.name for column in model.schema.columns] == ["p", "q", "r", "s"]
    wanted = booster.predict(matrix)
    assert float(np.abs(model.predict(rows)["probabilities"][:, 1] - wanted).max()) <= CLOSE
