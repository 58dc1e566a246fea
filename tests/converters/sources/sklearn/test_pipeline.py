"""Taking fitted models apart, and answering on one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (it is imported for what it enables)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from edge_runtime.converters import convert
from edge_runtime.converters.sources.sklearn.pipeline import names_of, on_one_thread, opened, split
from edge_runtime.errors import UnsupportedModelError

ROWS, KIND = load_iris(return_X_y=True)
FRAME = pd.DataFrame(ROWS, columns=["a", "b", "c", "d"])


def test_nested_pipelines_are_one_line_of_steps_and_a_model() -> None:
    """Steps that do nothing are left out; without any step there is no preprocessing."""
    scaler, tree = StandardScaler(), DecisionTreeClassifier()
    inner = Pipeline([("a", "passthrough"), ("b", tree)])
    transformer, final = split(Pipeline([("x", scaler), ("y", None), ("z", inner)]))
    assert final is tree
    assert [step for _, step in transformer.steps] == [scaler]
    assert split(inner) == (None, tree)
    assert split(tree) == (None, tree)


def test_a_nested_pipeline_answers_as_its_parts_do() -> None:
    """The preprocessing is taken out as it was fitted."""
    model = make_pipeline(StandardScaler(), make_pipeline("passthrough", DecisionTreeClassifier(random_state=0))).fit(
        ROWS, KIND
    )
    transformer, final = split(model)
    assert final.predict(transformer.transform(ROWS)).tolist() == model.predict(ROWS).tolist()


def test_the_names_are_those_of_training() -> None:
    """None for arrays, and for a frame whose names are no text."""
    tree = DecisionTreeClassifier()
    assert names_of(tree.fit(FRAME, KIND)) == ["a", "b", "c", "d"]
    assert names_of(make_pipeline("passthrough", StandardScaler(), tree).fit(FRAME, KIND)) == ["a", "b", "c", "d"]
    assert names_of(make_pipeline(make_pipeline(StandardScaler()), tree).fit(FRAME, KIND)) == ["a", "b", "c", "d"]
    assert names_of(tree.fit(ROWS, KIND)) is None
    assert names_of(tree.fit(pd.DataFrame(ROWS), KIND)) is None


def test_one_thread_is_a_copy_and_the_callers_object_stays() -> None:
    """At any depth of the pipeline; what was fitted is shared, not copied."""
    forest = RandomForestClassifier(5, n_jobs=2, random_state=0)
    columns = make_column_transformer((StandardScaler(), ["a", "b"]), n_jobs=2)
    model = make_pipeline(columns, make_pipeline(forest)).fit(FRAME, KIND)
    before = repr(model.get_params())
    alone = on_one_thread(model)
    assert repr(model.get_params()) == before
    assert (model[0].n_jobs, model[1][0].n_jobs) == (2, 2)
    assert (alone[0].n_jobs, alone[1][0].n_jobs) == (1, 1)
    assert alone[1][0].estimators_ is forest.estimators_
    assert np.array_equal(alone.predict(FRAME), model.predict(FRAME))


def test_nothing_is_set_where_nothing_was() -> None:
    """An estimator without n_jobs, or with None, has one thread already."""
    tree = DecisionTreeClassifier().fit(ROWS, KIND)
    assert not hasattr(on_one_thread(tree), "n_jobs")
    assert on_one_thread(RandomForestClassifier(2).fit(ROWS, KIND)).n_jobs is None


def frozen() -> FrozenEstimator:
    return FrozenEstimator(StandardScaler().fit(FRAME))


def searched(model: Any, **options: Any) -> GridSearchCV:
    return GridSearchCV(model, {}, cv=2, **options)


WRAPPED: dict[str, Callable[[], Any]] = {
    "a search": lambda: searched(make_pipeline(StandardScaler(), tree())),
    "a random search at the end": lambda: make_pipeline(
        StandardScaler(), RandomizedSearchCV(tree(), {"max_depth": [2, 3]}, n_iter=1, cv=2, random_state=0)
    ),
    "a halving search": lambda: HalvingGridSearchCV(tree(), {"max_depth": [2, 3]}, cv=2, random_state=0),
    "a search in a search": lambda: searched(searched(make_pipeline(StandardScaler(), searched(tree())))),
    "a frozen step": lambda: make_pipeline(frozen(), tree()),
    "a frozen end": lambda: make_pipeline(StandardScaler(), FrozenEstimator(tree().fit(ROWS, KIND))),
    "a frozen step beside others": lambda: make_pipeline(
        make_column_transformer((FrozenEstimator(StandardScaler().fit(FRAME[["a", "b"]])), ["a", "b"])), tree()
    ),
    "a frozen pipeline": lambda: FrozenEstimator(make_pipeline(StandardScaler(), tree()).fit(FRAME, KIND)),
    "a search for another library's": lambda: searched(
        pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1)
    ),
}


def tree() -> Any:
    return DecisionTreeClassifier(max_depth=4, random_state=0)


@pytest.mark.parametrize("name", WRAPPED)
def test_what_only_passes_rows_on_is_opened(name: str) -> None:
    """Searches and frozen estimators answer as what they hold, and so does the conversion; exactly."""
    model = WRAPPED[name]().fit(FRAME, KIND)
    conversion = convert(model, data=FRAME)
    assert "proven: every float64 input" in conversion.report.statements[0]
    assert conversion.model().predict(FRAME)["label"].tolist() == model.predict(FRAME).tolist()


def test_a_search_without_a_model_is_refused() -> None:
    """It was not refitted, or not fitted at all."""
    for search in (searched(tree(), refit=False).fit(ROWS, KIND), searched(tree())):
        with pytest.raises(UnsupportedModelError, match="GridSearchCV holds no fitted model; fit it with refit=True"):
            convert(search, data=ROWS)


def test_a_target_that_is_not_transformed_changes_nothing() -> None:
    """One that is transformed is no longer a sum of leaves; a matrix of one target is answered with one."""
    plain = TransformedTargetRegressor(DecisionTreeRegressor(max_depth=4)).fit(ROWS, KIND)
    assert opened(plain) is plain.regressor_
    found = convert(plain, data=ROWS).model().predict(ROWS)["prediction"]
    assert np.abs(found - plain.predict(ROWS)).max() < 1e-12
    logarithm = TransformedTargetRegressor(DecisionTreeRegressor(), func=np.log1p, inverse_func=np.expm1)
    assert opened(logarithm.fit(ROWS, KIND)) is logarithm
    column = TransformedTargetRegressor(DecisionTreeRegressor()).fit(ROWS, KIND[:, None])
    assert opened(column) is column


def test_pipelines_three_deep_are_lowered() -> None:
    """Column transformers in column transformers, unions in pipelines in those, and a pipeline that ends in one."""
    rows = FRAME.assign(t=np.array(["x", "y", "z"])[(ROWS[:, 0] * 10).astype(int) % 3])
    scaled = make_pipeline(make_pipeline(SimpleImputer(), StandardScaler()), "passthrough")
    union = make_pipeline(
        scaled, FeatureUnion([("q", MinMaxScaler(clip=True)), ("r", make_pipeline(StandardScaler()))])
    )
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    inner = make_column_transformer((union, ["a", "b"]), (one_hot, ["t"]), remainder="passthrough")
    outer = make_column_transformer((inner, ["a", "b", "c", "t"]), ("drop", ["d"]), remainder=StandardScaler())
    model = make_pipeline(Pipeline([("o", make_pipeline(outer))]), make_pipeline(MinMaxScaler(), make_pipeline(tree())))
    model.fit(rows, KIND)
    conversion = convert(model, data=rows)
    assert [column.name for column in conversion.manifest.schema.columns] == ["a", "b", "c", "t"]
    assert "proven: every float64 input" in conversion.report.statements[0]
    shuffled = rows.apply(lambda column: np.random.default_rng(len(column.name)).permutation(column.to_numpy()))
    assert conversion.model().predict(shuffled)["label"].tolist() == model.predict(shuffled).tolist()
