"""Data of every kind becomes the same frame, and what is no table is refused."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from edge_runtime.converters import convert
from edge_runtime.converters.data import Data, app_dtype, read_data
from edge_runtime.errors import InputError, UnsupportedModelError

RECORDS: list[dict[str, Any]] = [
    {"amount": 1.5, "count": 3, "night": True, "carrier": "UA"},
    {"amount": None, "count": 4, "night": False, "carrier": "AA"},
    {"amount": 0.25, "count": 5, "night": True, "carrier": None},
    {"amount": 8.0, "count": 6, "night": False, "carrier": ""},
] * 12
LATE = [0, 1, 1, 0] * 12
COLUMNS: dict[str, list[Any]] = {name: [record[name] for record in RECORDS] for name in RECORDS[0]}
STR = pd.DataFrame(COLUMNS).astype({"amount": "float64", "carrier": "str"})
OBJECT_NONE = pd.DataFrame(COLUMNS).astype({"amount": "float64"}).assign(carrier=np.array(COLUMNS["carrier"], object))
OBJECT_NAN = OBJECT_NONE.assign(carrier=OBJECT_NONE["carrier"].where(OBJECT_NONE["carrier"].notna(), np.nan))
NULLABLE = pd.DataFrame(
    {
        "amount": pd.array(COLUMNS["amount"], "Float64"),
        "count": pd.array(COLUMNS["count"], "Int64"),
        "night": pd.array(COLUMNS["night"], "bool"),
        "carrier": pd.array(COLUMNS["carrier"], "str"),
    }
)
KINDS: dict[str, Any] = {
    "pandas, str": STR,
    "pandas, objects with None": OBJECT_NONE,
    "pandas, objects with NaN": OBJECT_NAN,
    "pandas, an index of its own": STR.set_axis(np.arange(len(STR))[::-1] * 7),
    "polars": pl.DataFrame(COLUMNS),
    "Arrow": pa.table(COLUMNS),
    "dict of columns": COLUMNS,
    "dict of arrays": {name: STR[name].to_numpy() for name in STR},
    "list of records": RECORDS,
}


def model_of(data: Any) -> Any:
    """A pipeline trained on one kind of data."""
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["carrier"]), remainder="passthrough"
    )
    boosting = HistGradientBoostingClassifier(max_iter=4, min_samples_leaf=1, random_state=0)
    return make_pipeline(columns, boosting).fit(data, LATE)


@pytest.mark.parametrize("name", KINDS)
def test_a_model_converts_with_data_of_every_kind(name: str) -> None:
    """The columns, and every answer, are those of the frame that the model was trained on."""
    model = model_of(STR)
    conversion = convert(model, data=KINDS[name])
    assert conversion.report.rows == len(RECORDS)
    schema = conversion.manifest.schema
    assert [(column.name, column.dtype) for column in schema.columns] == [
        ("amount", "float64"), ("count", "int64"), ("night", "bool"), ("carrier", "str"),
    ]  # fmt: skip
    assert set(schema.columns[3].categories or ()) == {"UA", "AA", ""}
    assert conversion.model().predict(STR)["label"].tolist() == model.predict(STR).tolist()


@pytest.mark.parametrize("name", ["pandas, str", "pandas, objects with None", "pandas, objects with NaN", "polars"])
def test_missing_text_is_answered_as_by_a_model_trained_on_that_kind(name: str) -> None:
    """None, NaN and a null are categories of their own in the source; each app value reaches the right one."""
    model = model_of(KINDS[name])
    converted = convert(model, data=KINDS[name]).model()
    assert converted.schema.columns[3].nullable
    wanted = model.predict_proba(KINDS[name])
    assert np.abs(converted.predict(RECORDS)["probabilities"] - wanted).max() < 1e-12
    assert np.abs(converted.predict(KINDS[name])["probabilities"] - wanted).max() < 1e-12
    alone = [converted.predict_one(record)["probabilities"] for record in RECORDS[:4]]
    assert np.abs(np.array(alone) - wanted[:4]).max() < 1e-12


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ".json"])
def test_a_file_of_rows_is_data_too_and_the_target_is_left_out(tmp_path: Path, suffix: str) -> None:
    """By its path, as text or as a Path; the column of the target is no feature."""
    path = tmp_path / f"rows{suffix}"
    rows = STR.assign(carrier=STR["carrier"].fillna("UA").replace("", "B6"), late=LATE)
    if suffix == ".parquet":
        rows.to_parquet(path)
    elif suffix == ".csv":
        rows.to_csv(path, index=False)
    else:
        rows.to_json(path, orient="records", lines=suffix == ".jsonl")
    model = model_of(rows.drop(columns="late"))
    for data in (path, str(path)):
        conversion = convert(model, data=data, target="late")
        assert [column.name for column in conversion.manifest.schema.columns] == list(STR.columns)
        assert conversion.report.rows == len(rows)


def test_the_target_may_be_a_column_or_given_apart() -> None:
    """A name takes the column out; anything else is not looked at."""
    rows = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    assert list(read_data(rows, "b").frame) == ["a"]
    assert list(read_data(rows, [0, 1]).frame) == ["a", "b"]
    assert list(rows) == ["a", "b"]


def test_an_array_has_the_columns_x0_to_xn() -> None:
    """By position; lists of lists are arrays, and so is one row of them."""
    array = np.arange(6.0).reshape(2, 3)
    for data in (array, array.tolist(), tuple(map(tuple, array))):
        read = read_data(data)
        assert read.positional
        assert list(read.frame) == ["x0", "x1", "x2"]
        assert read.frame.to_numpy().tolist() == array.tolist()
    assert read_data(array.astype(np.float32)).frame.dtypes.tolist() == [np.dtype("float32")] * 3
    assert not read_data(pd.DataFrame(array)).positional


def test_names_that_are_no_text_become_text() -> None:
    """A schema has text for names."""
    assert list(read_data(pd.DataFrame(np.zeros((1, 2)))).frame) == ["0", "1"]


def test_an_array_takes_the_names_that_its_source_was_trained_with() -> None:
    """If there are as many; otherwise the source has a word to say."""
    data = read_data(np.zeros((2, 2)))
    assert list(data.named(["a", "b"]).frame) == ["a", "b"]
    assert not data.named(["a", "b"]).positional
    assert data.named(["a"]) is data
    assert data.named(None) is data
    frame = read_data(pd.DataFrame({"c": [1.0], "d": [2.0]}))
    assert frame.named(["a", "b"]) is frame
    assert isinstance(frame, Data)


REFUSED: dict[str, tuple[Any, str]] = {
    "nothing": (None, r"data is no table \(NoneType with 0 axes\); expected a frame, an array"),
    "a number": (3, "data is no table"),
    "one axis": (np.zeros(3), r"data is no table \(ndarray with 1 axes\)"),
    "three axes": (np.zeros((2, 2, 2)), r"data is no table \(ndarray with 3 axes\)"),
    "ragged rows": ([[1.0, 2.0], [1.0]], "data is no table"),
    "ragged columns": ({"a": [1, 2], "b": [1]}, "data is no table"),
    "one record": ({"a": 1.0}, "data is no table"),
    "an empty list": ([], "data has no rows; expected at least one row"),
    "an empty array": (np.zeros((0, 3)), "data has no rows"),
    "an empty frame": (STR.iloc[:0], "data has no rows"),
    "no columns and no rows": (pd.DataFrame(), "data has no rows"),
    "two columns of one name": (pd.concat([STR, STR], axis=1), r"two columns of one name \(column 'amount'\)"),
    "two names that become one": (pd.DataFrame({1: [0.0], "1": [0.0]}), r"two columns of one name \(column '1'\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_is_refused(name: str) -> None:
    """In one line that says what it is and what would be right."""
    data, says = REFUSED[name]
    with pytest.raises(InputError, match=says) as caught:
        read_data(data)
    assert "\n" not in str(caught.value)


def test_a_target_that_is_not_there_is_refused() -> None:
    """A misspelt target would stay among the features."""
    with pytest.raises(InputError, match=r"target: not in the data \(column 'lat'\); expected one of \['a', 'late'\]"):
        read_data(pd.DataFrame({"a": [1.0], "late": [1]}), "lat")
    with pytest.raises(InputError, match=r"column 'late'\); expected a frame: an array's columns have no names"):
        read_data(np.zeros((2, 2)), "late")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(InputError, match=r"rows\.parquet: no such file"):
        read_data(tmp_path / "rows.parquet")


DTYPES: dict[str, tuple[Any, str]] = {
    "float64": ([0.5], "float64"),
    "float32": (np.array([0.5], np.float32), "float32"),
    "float16": (np.array([0.5], np.float16), "float32"),
    "int64": ([1], "int64"),
    "uint8": (np.array([1], np.uint8), "uint8"),
    "bool": ([True], "bool"),
    "Int64": (pd.array([1, None], "Int64"), "int64"),
    "Float32": (pd.array([1.5, None], "Float32"), "float32"),
    "boolean": (pd.array([True, None], "boolean"), "bool"),
    "str": (pd.array(["a", None], "str"), "str"),
    "string": (pd.array(["a", None], "string"), "str"),
    "objects of text": (np.array(["a", None, np.nan], object), "str"),
    "objects of nothing": (np.array([None, None], object), "str"),
    "objects of bools": (np.array([True, None], object), "bool"),
    "objects of integers": (np.array([1, 2], object), "int64"),
    "objects of integers with a gap": (np.array([1, None], object), "int64"),
    "objects of numbers": (np.array([1, 2.5], object), "float64"),
    "category of text": (pd.Categorical(["a", "b"]), "str"),
    "category of integers": (pd.Categorical([1, 2]), "int64"),
}


@pytest.mark.parametrize("name", DTYPES)
def test_a_columns_dtype_is_what_the_app_hands_over(name: str) -> None:
    """Whatever training kept it in."""
    values, dtype = DTYPES[name]
    assert app_dtype(pd.Series(values), "a") == dtype


UNFIT: dict[str, tuple[Any, str]] = {
    "datetime": (pd.to_datetime(["2024-01-01"]), r"column 'a' is of datetime64\[.*; derive numbers from it .*hour"),
    "datetime with a zone": (pd.to_datetime(["2024-01-01"]).tz_localize("UTC"), r"column 'a' is of datetime64\[.*UTC"),
    "timedelta": (pd.to_timedelta([1], "h"), "column 'a' is of timedelta"),
    "period": (pd.period_range("2024", periods=1, freq="M"), "column 'a' is of period"),
    "dates as objects": (np.array([datetime.date(2024, 1, 1)], object), "column 'a' is of date; derive numbers"),
    "decimals": (np.array([Decimal("1.5")], object), "column 'a' is of decimal"),
    "bytes": (np.array([b"a"], object), "column 'a' is of bytes"),
    "complex": (np.array([1j]), "column 'a' is of complex128"),
    "text and numbers": (np.array(["a", 1], object), "column 'a' holds values of several kinds .*; make it one"),
    "lists": (pd.Series([[1, 2]], dtype=object), "column 'a' holds values of several kinds"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_a_column_of_no_number_and_no_text_is_refused(name: str) -> None:
    """With its name, its kind and what to do about it."""
    values, says = UNFIT[name]
    with pytest.raises(UnsupportedModelError, match=says):
        app_dtype(pd.Series(values), "a")
