"""Frames in, frames out: pandas and Arrow, one and many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest

from edge_runtime.batch import score
from edge_runtime.errors import InputError

from .conftest import MODEL, Iris, Late, same


def arrays_of(frame: Any, outputs: Any) -> Any:
    """The outputs in a pandas frame, in the dtypes of ``outputs``."""
    return {name: np.asarray(frame[name].tolist(), array.dtype) for name, array in outputs.items()}


def test_a_pandas_frame_comes_back_with_more_columns(late: Late) -> None:
    """The same index and columns, then answers to the bit, then what answered and when; the given frame is as it was."""
    frame = late.table.to_pandas().set_index("id")
    before = frame.copy()
    scored = score(late.bundle, frame)
    pandas.testing.assert_frame_equal(frame, before)
    pandas.testing.assert_frame_equal(scored[list(frame.columns)], frame)
    assert same(arrays_of(scored, late.outputs), late.outputs)
    assert scored["probabilities"].iloc[3] == late.outputs["probabilities"][3].tolist()
    assert scored["model_version"].unique().tolist() == ["1.2.0"]
    assert scored["model_digest"].unique().tolist() == [late.model.digest]
    assert isinstance(scored["score_timestamp"].dtype, pandas.DatetimeTZDtype)
    assert abs(datetime.now(UTC) - scored["score_timestamp"].iloc[0].to_pydatetime()).total_seconds() < 3600


def test_a_scored_frame_goes_through_parquet(late: Late, tmp_path: Path) -> None:
    """With its lists."""
    score(late.bundle, late.table.select(MODEL).to_pandas()).to_parquet(tmp_path / "scored.parquet")
    assert same(arrays_of(pandas.read_parquet(tmp_path / "scored.parquet"), late.outputs), late.outputs)


def test_text_labels_are_text(iris: Iris) -> None:
    """In pandas' own dtype for it."""
    scored = score(iris.bundle, iris.frame, keep=[])
    assert list(scored.columns) == ["label", "probabilities", "model_version", "model_digest", "score_timestamp"]
    assert scored["label"].dtype == "str"
    assert same(arrays_of(scored, iris.outputs), iris.outputs)


@pytest.mark.parametrize("kind", ["table", "batch"])
def test_arrow_comes_back_as_arrow(late: Late, kind: str) -> None:
    """A table as a table, a batch as a batch."""
    given = late.table if kind == "table" else late.table.combine_chunks().to_batches()[0]
    scored = score(late.bundle, given, keep=["id", "route"])
    assert type(scored) is type(given)
    assert scored.schema.names[:3] == ["id", "route", "label"]
    found = {name: np.array(scored.column(name).to_pylist(), array.dtype) for name, array in late.outputs.items()}
    assert same(found, late.outputs)


@pytest.mark.parametrize("rows", [7, 64, 600])
def test_an_iterator_of_frames_is_answered_as_it_goes(late: Late, rows: int) -> None:
    """Each frame when it is asked for, all with one time, to the bit of the whole."""
    frame, taken = late.table.select(MODEL).to_pandas(), []

    def parts() -> Iterator[Any]:
        for start in range(0, 600, rows):
            taken.append(start)
            yield frame[start : start + rows]

    scored = score(late.model, parts())
    first = next(scored)
    assert taken == [0]
    whole = pandas.concat([first, *scored])
    assert same(arrays_of(whole, late.outputs), late.outputs)
    assert whole["score_timestamp"].nunique() == 1


def test_differences_of_a_frame_are_listed(late: Late) -> None:
    """By the place of the frame among others."""
    table = late.table.rename_columns([name.upper() for name in late.table.column_names])
    with pytest.raises(InputError, match="frame 1: 5 columns do not fit the model: 'hour' is missing"):
        list(score(late.bundle, [late.table, table]))
    with pytest.raises(InputError, match=r"the frame: 5 columns do not fit.*'hour' is missing"):
        score(late.bundle, table.to_pandas())
    with pytest.raises(
        InputError, match=r"the frame: 2 columns do not fit.*'distance' is (large_)?string, 'origin' is double"
    ):
        score(late.bundle, late.table.to_pandas().astype({"distance": "str"}).assign(origin=1.5))


def test_a_bad_value_says_in_which_frame(late: Late) -> None:
    """And which row of it, by position."""
    frame = late.table.to_pandas().astype({"hour": float})
    bad = frame.copy()
    bad.loc[30, "hour"] = 0.5
    with pytest.raises(InputError, match=r"frame 2: got float 0.5 \(column 'hour', row 10\)"):
        list(score(late.bundle, [frame[:20], frame[20:20], bad[20:]]))


def test_names_that_are_added_are_refused(late: Late) -> None:
    """An answer does not overwrite a column."""
    frame = late.table.to_pandas()
    with pytest.raises(InputError, match=r"a column has the name of what is added \('label'\)"):
        score(late.bundle, frame.assign(label=1))
    with pytest.raises(InputError, match=r"two columns have one name.*'id'"):
        score(late.bundle, pandas.concat([frame, frame[["id"]]], axis=1))


def test_an_empty_frame_is_answered_by_one(late: Late) -> None:
    """With columns of the right types."""
    scored = score(late.bundle, late.table.slice(0, 0))
    assert scored.num_rows == 0
    assert scored.schema.field("probabilities").type == pyarrow.list_(pyarrow.float64())
    assert len(score(late.bundle, late.table.slice(0, 0).to_pandas())) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("rows.csv",), "a file without a sink"),
        ((pandas.DataFrame(), "out.csv"), "a DataFrame and a sink"),
        ((5,), "got a int"),
        (({"hour": [1]},), "got a dict"),
    ],
)
def test_what_is_neither_is_refused(late: Late, arguments: Any, says: str) -> None:
    """Files go to a sink, frames come back."""
    with pytest.raises(InputError, match=says):
        score(late.bundle, *arguments)


def test_keep_is_a_list(late: Late) -> None:
    """One text would be taken for its letters."""
    with pytest.raises(InputError, match="expected a list of names"):
        score(late.bundle, late.table, keep="id")
