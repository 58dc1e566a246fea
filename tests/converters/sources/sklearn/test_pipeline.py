"""Taking fitted models apart, and answering on one thread."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from edge_runtime.converters.sources.sklearn.pipeline import names_of, on_one_thread, split

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
