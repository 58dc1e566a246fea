"""Tables: whatever library holds the rows, the tensors are the same, and so are the refusals."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import inf, nan
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.schema import ColumnSpec, Schema, TensorSpec
from edge_runtime.tables import Table, check_keys, read_table
from edge_runtime.values import coders

BIG = 2**53 + 1  # float64 would make it 2**53


def number(name: str, dtype: str, index: int, nullable: bool, low: float = -inf, high: float = inf) -> ColumnSpec:
    return ColumnSpec(name, dtype, nullable, "x", index, low, high)


SCHEMA = Schema(
    (
        number("amount", "float64", 0, True),
        number("count", "int64", 1, True),
        ColumnSpec("flag", "bool", True, "x", 2),
        ColumnSpec("carrier", "str", True, "x", 3, categories=("AA", "UA", "")),
        number("temp", "float32", 4, False, -100.0, 100.0),
    ),
    (TensorSpec("x", "float64", (None, 5)),),
    (),
)
NAMES = ["amount", "count", "flag", "carrier", "temp"]
ROWS: list[tuple[Any, ...]] = [
    (1.5, 3, True, "UA", 0.1),
    (None, None, None, None, -100.0),
    (-0.0, -7, False, "", 100.0),
    (inf, 2**53, True, "never seen", 0.0),
    (0.1, 0, False, "AA", -0.0),
]
WANTED = np.array(
    [
        [1.5, 3, 1, 1, np.float32(0.1)],
        [nan, nan, nan, nan, -100],
        [-0.0, -7, 0, 2, 100],
        [inf, 2**53, 1, -1, 0],
        [0.1, 0, 0, 0, -0.0],
    ]
)
COLUMNS: dict[str, list[Any]] = {name: [row[i] for row in ROWS] for i, name in enumerate(NAMES)}
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
ARROW_TYPES = [pa.float64(), pa.int64(), pa.bool_(), pa.string(), pa.float64()]
ARROW = pa.table({n: pa.array(COLUMNS[n], t) for n, t in zip(NAMES, ARROW_TYPES, strict=True)})
POLARS = pl.DataFrame(COLUMNS)
OBJECTS = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in COLUMNS.items()})
NULLABLE = pd.DataFrame(
    {
        "amount": pd.array(COLUMNS["amount"], "Float64"),
        "count": pd.array(COLUMNS["count"], "Int64"),
        "flag": pd.array(COLUMNS["flag"], "boolean"),
        "carrier": pd.array(COLUMNS["carrier"], "str"),
        "temp": COLUMNS["temp"],
    }
)


def object_matrix() -> NDArray[Any]:
    matrix = np.empty((len(ROWS), len(NAMES)), object)
    for i, row in enumerate(ROWS):
        matrix[i] = row
    return matrix


def masked_structured() -> Any:
    kinds = [("amount", "f8"), ("count", "i8"), ("flag", "?"), ("carrier", "U20"), ("temp", "f8"), ("extra", "i4")]
    filled = [tuple(0 if v is None else v for v in (*row, 1)) for row in ROWS]
    return np.ma.MaskedArray(np.array(filled, kinds), [tuple(v is None for v in (*row, 1)) for row in ROWS])


def arrow_sliced() -> Any:
    """Views that start in the middle of a byte of the bitmaps."""
    return pa.concat_tables([ARROW.slice(1, 4), ARROW, ARROW]).combine_chunks().slice(4, 5)


def arrow_dictionary(kind: Any) -> Any:
    return ARROW.set_column(3, "carrier", ARROW.column("carrier").cast(kind).dictionary_encode())


CONTAINERS: dict[str, Callable[[], Any]] = {
    "records": lambda: RECORDS,
    "tuple of records": lambda: tuple(RECORDS),
    "other mappings": lambda: [MappingProxyType(RECORDS[0]), OrderedDict(RECORDS[1]), *RECORDS[2:]],
    "records in any order": lambda: [dict(reversed(record.items())) for record in RECORDS],
    "dict of lists": lambda: COLUMNS,
    "dict of tuples": lambda: {name: tuple(values) for name, values in COLUMNS.items()},
    "dict of object arrays": lambda: {n: np.array(v, object) for n, v in COLUMNS.items()},
    "dict of numpy texts": lambda: {
        **COLUMNS,
        "carrier": np.array(["UA", None, "", "never seen", "AA"], np.dtypes.StringDType(na_object=None)),
    },
    "dict of pandas Series": lambda: {n: NULLABLE[n] for n in NAMES},
    "dict of pandas arrays": lambda: {n: NULLABLE[n].array for n in NAMES},
    "dict of pandas Index": lambda: {n: pd.Index(NULLABLE[n]) for n in NAMES},
    "dict of polars Series": lambda: {n: POLARS[n] for n in NAMES},
    "dict of Arrow arrays": lambda: {n: ARROW.column(n).combine_chunks() for n in NAMES},
    "dict of all kinds": lambda: {
        "amount": np.array([1.5, nan, -0.0, inf, 0.1]),
        "count": POLARS["count"],
        "flag": NULLABLE["flag"],
        "carrier": COLUMNS["carrier"],
        "temp": ARROW.column("temp"),
    },
    "object matrix": object_matrix,
    "Fortran object matrix": lambda: np.asfortranarray(object_matrix()),
    "masked structured array": masked_structured,
    "pandas objects": lambda: OBJECTS,
    "pandas inferred": lambda: pd.DataFrame(COLUMNS).astype({"flag": object}),
    "pandas convert_dtypes": lambda: pd.DataFrame(COLUMNS).convert_dtypes(),
    "pandas nullable": lambda: NULLABLE,
    "pandas other index": lambda: NULLABLE.set_index(pd.Index([9, 9, 3, 1, 0])),
    "pandas every second row": lambda: NULLABLE.loc[NULLABLE.index.repeat(2)].iloc[::2],
    "pandas python strings": lambda: NULLABLE.astype({"carrier": pd.StringDtype("python")}),
    "pandas pyarrow strings": lambda: NULLABLE.astype({"carrier": pd.StringDtype("pyarrow")}),
    "pandas categories": lambda: NULLABLE.astype({"carrier": "category", "count": "category"}),
    "pandas unused categories": lambda: NULLABLE.assign(
        carrier=NULLABLE["carrier"].astype("category").cat.add_categories(["not used"]).cat.reorder_categories(
            ["UA", "not used", "AA", "never seen", ""]
        )
    ),
    "pandas Arrow": lambda: ARROW.to_pandas(types_mapper=pd.ArrowDtype),
    "pandas Arrow dictionary": lambda: arrow_dictionary(pa.string()).to_pandas(types_mapper=pd.ArrowDtype),
    "pandas sparse": lambda: NULLABLE.assign(temp=pd.arrays.SparseArray(COLUMNS["temp"])),
    "pandas float32": lambda: NULLABLE.astype({"temp": "float32"}),
    "polars": lambda: POLARS,
    "polars in chunks": lambda: pl.concat([POLARS[:1], POLARS[1:2], POLARS[2:]], rechunk=False),
    "polars categorical": lambda: POLARS.with_columns(pl.col("carrier").cast(pl.Categorical)),
    "polars enum": lambda: POLARS.with_columns(pl.col("carrier").cast(pl.Enum(["x", "", "AA", "never seen", "UA"]))),
    "Arrow table": lambda: ARROW,
    "Arrow batch": lambda: ARROW.to_batches()[0],
    "Arrow sliced": arrow_sliced,
    "Arrow in chunks": lambda: pa.concat_tables(
        [ARROW.slice(0, 2), ARROW.slice(2, 0), ARROW.slice(2, 1), ARROW.slice(3)]
    ),
    "Arrow large strings": lambda: ARROW.set_column(3, "carrier", ARROW.column("carrier").cast(pa.large_string())),
    "Arrow string views": lambda: ARROW.set_column(3, "carrier", ARROW.column("carrier").cast(pa.string_view())),
    "Arrow dictionary": lambda: arrow_dictionary(pa.string()),
    "Arrow dictionaries by chunk": lambda: pa.concat_tables(
        [arrow_dictionary(pa.large_string()).slice(3), arrow_dictionary(pa.large_string())]
    ).slice(2),
    "Arrow dictionary with a null in it": lambda: ARROW.set_column(
        3, "carrier",
        pa.DictionaryArray.from_arrays(
            pa.array([1, 0, 2, 3, 4], pa.int8()), pa.array([None, "UA", "", "never seen", "AA"])
        ),
    ),
    "Arrow float32": lambda: ARROW.set_column(4, "temp", ARROW.column("temp").cast(pa.float32())),
    "more columns, other order": lambda: ARROW.select(NAMES[::-1]).append_column("id", pa.array([[1]] * 5)),
}  # fmt: skip


def fill(table: Table, schema: Schema, block: int) -> dict[str, NDArray[Any]]:
    """The whole of ``table``, written block by block."""

    def tensors(rows: int) -> dict[str, NDArray[Any]]:
        shapes: dict[str, Any] = {t.name: (rows, *t.shape[1:]) for t in schema.inputs}
        return {t.name: np.zeros(shapes[t.name], object if t.dtype == "str" else t.dtype) for t in schema.inputs}

    out = tensors(table.rows)
    for start in range(0, table.rows, block):
        stop = min(start + block, table.rows)
        buffers = tensors(block)
        table.fill(start, stop, buffers)
        for name, buffer in buffers.items():
            out[name][start:stop] = buffer[: stop - start]
    return out


def read(data: Any, schema: Schema = SCHEMA, block: int = 2) -> NDArray[Any]:
    return fill(read_table(data, schema), schema, block)["x"]


def single(dtype: str, tensor: str = "float64", *, nullable: bool = False, **more: Any) -> Schema:
    bounds = {} if dtype in ("str", "bool") else {"low": -inf, "high": inf}
    spec = ColumnSpec("c", dtype, nullable, "x", 0, **{**bounds, **more})
    return Schema((spec,), (TensorSpec("x", tensor, (None, 1)),), ())


@pytest.mark.parametrize("block", [1, 2, 3, 5, 4096])
@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_every_container_gives_the_same_bits(make: Callable[[], Any], block: int) -> None:
    """The same rows, whoever holds them and however they are cut into blocks."""
    assert read(make(), block=block).tobytes() == WANTED.tobytes()


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_empty_tables_work(make: Callable[[], Any]) -> None:
    """No rows are a table too."""
    data = make()
    if isinstance(data, dict):
        data = {name: values[:0] for name, values in data.items()}
    elif isinstance(data, (pa.Table, pa.RecordBatch)):
        data = data.slice(0, 0)
    else:
        data = data[:0]
    table = read_table(data, SCHEMA)
    assert table.rows == 0
    table.fill(0, 0, {"x": np.zeros((4, 5))})


def test_frames_that_never_had_rows_work() -> None:
    """Columns without a type of their own: nothing to check, nothing to refuse."""
    data: Any
    for data in ([], pd.DataFrame(columns=NAMES), pl.DataFrame(schema=NAMES), ARROW.schema.empty_table()):
        assert read(data).shape == (0, 5)


def test_one_record_is_a_table_of_one_row() -> None:
    """A dict of scalars is a record, of Python's, numpy's or Arrow's own scalars."""
    assert read(RECORDS[0]).tobytes() == WANTED[:1].tobytes()
    record = {"amount": np.float64(1.5), "count": np.int16(3), "flag": np.True_, "carrier": np.str_("UA"), "temp": 0.1}
    assert read(record).tobytes() == WANTED[:1].tobytes()
    assert (
        read(dict(zip(NAMES, ARROW.slice(0, 1).to_pylist()[0].values(), strict=True))).tobytes() == WANTED[:1].tobytes()
    )
    assert read(MappingProxyType(RECORDS[1])).tobytes() == WANTED[1:2].tobytes()


def test_arrays_go_by_position_whatever_their_layout() -> None:
    """Integers, halves, big-endian, Fortran and sliced matrices give the same tensor."""
    schema = Schema(
        tuple(number(f"x{i}", "float64", i, True) for i in range(3)), (TensorSpec("x", "float64", (None, 3)),), ()
    )
    matrix = np.arange(12.0).reshape(4, 3)
    wide = np.zeros((8, 6))
    wide[::2, ::2] = matrix
    for same in (
        matrix, matrix.astype(np.int8), matrix.astype(np.uint64), matrix.astype(np.float16), matrix.astype(">f8"),
        matrix.astype(">i4"), np.asfortranarray(matrix), wide[::2, ::2], np.ma.MaskedArray(matrix),
    ):  # fmt: skip
        assert read(same, schema).tobytes() == matrix.tobytes()
    masked = read(np.ma.MaskedArray(matrix, matrix == 4.0), schema)
    assert np.isnan(masked[1, 1])
    assert np.isnan(masked).sum() == 1


def test_a_vector_is_a_table_of_one_column_only() -> None:
    """A 1-D array of a wider schema could be a row or a column: refused."""
    assert read(np.array([1.0, 2.0]), single("float64")).tolist() == [[1.0], [2.0]]
    with pytest.raises(InputError, match=r"got an array of shape \(5,\); expected an array of shape \(rows, 5\)"):
        read_table(np.zeros(5), SCHEMA)


def test_columns_reach_the_tensors_they_lie_in() -> None:
    """Vectors, matrices and text tensors side by side."""
    schema = Schema(
        (
            ColumnSpec("t", "str", False, "text", 0),
            number("b", "float32", 1, False),
            number("a", "int32", 0, False),
            ColumnSpec("v", "int64", False, "x2", 0, -inf, inf),
        ),
        (
            TensorSpec("x", "float32", (None, 2)),
            TensorSpec("text", "str", (None, 1)),
            TensorSpec("x2", "int64", (None,)),
        ),
        (),
    )
    schema.check()
    columns = {"t": ["", "é"], "a": [1, 2], "b": [0.1, 2.0], "v": [2**62, -1]}
    for data in (columns, pd.DataFrame(columns), pl.DataFrame(columns), pa.table(columns)):
        out = fill(read_table(data, schema), schema, 1)
        assert out["text"].tolist() == [[""], ["é"]]
        assert out["x"].tobytes() == np.array([[1, 0.1], [2, 2]], np.float32).tobytes()
        assert out["x2"].tolist() == [2**62, -1]


BIG_INTEGERS: dict[str, Callable[[], Any]] = {
    "list": lambda: {"c": [1, None, BIG]},
    "records": lambda: [{"c": 1}, {"c": None}, {"c": BIG}],
    "object array": lambda: np.array([[1], [None], [BIG]], object),
    "masked array": lambda: {"c": np.ma.MaskedArray(np.array([1, 0, BIG]), [False, True, False])},
    "pandas Int64": lambda: pd.DataFrame({"c": pd.array([1, None, BIG], "Int64")}),
    "pandas Arrow": lambda: pd.DataFrame({"c": pd.array([1, None, BIG], pd.ArrowDtype(pa.int64()))}),
    "pandas category": lambda: pd.DataFrame({"c": pd.Categorical.from_codes([0, -1, 1], [1, BIG])}),
    "polars": lambda: pl.DataFrame({"c": [1, None, BIG]}),
    "polars UInt64": lambda: pl.DataFrame({"c": [1, None, BIG]}, schema={"c": pl.UInt64}),
    "Arrow": lambda: pa.table({"c": [1, None, BIG]}),
    "Arrow dictionary": lambda: pa.table({"c": pa.array([1, None, BIG]).dictionary_encode()}),
}


@pytest.mark.parametrize("make", BIG_INTEGERS.values(), ids=BIG_INTEGERS)
@pytest.mark.parametrize("dtype", ["int64", "float64"])
def test_integers_with_gaps_do_not_travel_through_float64(make: Callable[[], Any], dtype: str) -> None:
    """2**53 + 1 is refused as itself, not rounded to 2**53 on the way."""
    with pytest.raises(InputError, match=rf"got int {BIG} \(column 'c', row 2\)"):
        read(make(), single(dtype, nullable=True))


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("block", [1, 3, 4096])
def test_the_first_offending_row_is_named(make: Callable[[], Any], block: int) -> None:
    """By its number in the table, in every container, however the blocks are cut."""
    columns = list(SCHEMA.columns)
    columns[4] = number("temp", "float32", 4, False, -100.0, 50.0)
    columns[0] = number("amount", "float64", 0, True, -1.0, 10.0)
    with pytest.raises(InputError) as error:
        read(make(), Schema(tuple(columns), SCHEMA.inputs, ()), block)
    assert (error.value.column, error.value.row) == ("temp", 2)  # before the amount of row 3
    assert error.value.expected == "a number between -100 and 50"


def test_unknown_category_is_refused_by_row_where_the_column_is_closed() -> None:
    """Dictionaries are looked up once, but only entries in use can offend."""
    schema = single("str", nullable=True, categories=("a", "b"), open=False)
    texts = ["a", None, "b", "z", "y"]
    series = pd.Series(texts)
    for data in (
        {"c": texts}, pd.DataFrame({"c": series}), pd.DataFrame({"c": series.astype("category")}),
        pd.DataFrame({"c": series.astype(object)}), pl.DataFrame({"c": texts}), pa.table({"c": texts}),
        pl.DataFrame({"c": pl.Series(texts, dtype=pl.Categorical)}),
        pa.table({"c": pa.array(texts).dictionary_encode()}),
    ):  # fmt: skip
        with pytest.raises(InputError, match=r"got str 'z' \(column 'c', row 3\); expected one of 'a', 'b'"):
            read(data, schema)
    unused = pd.DataFrame({"c": series[:3].astype(pd.CategoricalDtype(["z", "b", "a"]))})
    assert read(unused, schema)[[0, 2], 0].tolist() == [0.0, 1.0]


def test_missing_is_refused_by_row_where_the_column_is_not_nullable() -> None:
    """Whatever a library calls it."""
    for data in (
        {"c": [1.0, None]}, {"c": [1.0, nan]}, np.array([[1.0], [nan]]), pd.DataFrame({"c": [1.0, nan]}),
        pd.DataFrame({"c": pd.array([1.0, None], "Float64")}),
        pd.DataFrame({"c": pd.Series([1.0, pd.NA], dtype=object)}),
        pl.DataFrame({"c": [1.0, None]}), pl.DataFrame({"c": [1.0, nan]}), pa.table({"c": [1.0, None]}),
        pa.table({"c": [1.0, nan]}), pl.Series("c", [1.0, None]).to_frame(), {"c": pa.array([1.0, None])},
    ):  # fmt: skip
        with pytest.raises(InputError, match=r"a value is missing \(column 'c', row 1\); expected a number"):
            read(data, single("float64"))


def test_columns_of_nothing_are_missing() -> None:
    """A column without a type holds only missing values, for every kind of column."""
    for schema in (
        single("float64", nullable=True),
        single("str", nullable=True, categories=("a",)),
        single("bool", nullable=True),
    ):
        for data in (
            pa.table({"c": pa.nulls(3)}),
            pl.DataFrame({"c": [None] * 3}),
            pd.DataFrame({"c": [None] * 3}),
            {"c": [nan] * 3},
        ):
            assert np.isnan(read(data, schema)).all()


KINDS: dict[str, tuple[Schema, Any, str]] = {
    "text for a number": (
        single("float64"),
        pa.table({"c": ["1", "2"]}),
        r"got str '1' \(column 'c', row 0\); expected a number",
    ),
    "number for text": (
        single("str", categories=("1",)),
        pl.DataFrame({"c": [1]}),
        r"got int 1 \(column 'c', row 0\); expected text",
    ),
    "category of numbers for text": (
        single("str", categories=("1",)),
        pd.DataFrame({"c": pd.Categorical([1])}),
        "got int 1",
    ),
    "bool for a number": (
        single("int64"),
        pd.DataFrame({"c": [True]}),
        r"got bool True \(column 'c', row 0\); expected an integer",
    ),
    "number for a bool": (single("bool"), np.array([[1]]), r"got int 1 \(column 'c', row 0\); expected true or false"),
    "matrix of text": (single("float64"), np.array([["1.5"]]), "got str '1.5'"),
    "complex": (single("float64"), np.array([[1j]]), "got a value of type complex128"),
    "long double": (single("float64"), np.ones((1, 1), np.longdouble), "got a value of type longdouble"),
    "bytes": (single("str", categories=("a",)), np.array([[b"a"]]), "got a value of type bytes"),
    "Arrow decimal": (
        single("float64"),
        pa.table({"c": pa.array([1]).cast(pa.decimal128(38))}),
        r"Arrow's type decimal128\(38, 0\) \(column 'c'\); expected a number",
    ),
    "Arrow binary": (
        single("str", categories=("a",)),
        pa.table({"c": [b"a"]}),
        r"Arrow's type binary \(column 'c'\); expected text",
    ),
    "polars decimal": (
        single("float64"),
        pl.DataFrame({"c": [1]}).cast(pl.Decimal(10, 2)),
        "got a value of type Decimal",
    ),
    "polars list": (single("float64"), pl.DataFrame({"c": [[1.0]]}), "got a value of type list"),
    "fraction for an integer": (
        single("int64"),
        pd.DataFrame({"c": [1.0, 1.5]}),
        r"got float 1.5 \(column 'c', row 1\); expected an integer",
    ),
}


@pytest.mark.parametrize(("schema", "data", "says"), KINDS.values(), ids=KINDS)
def test_columns_of_the_wrong_kind_are_refused(schema: Schema, data: Any, says: str) -> None:
    """No text becomes a number, no bool an integer, no long double a double."""
    with pytest.raises(InputError, match=says):
        read(data, schema)


TIMES = pd.to_datetime(["2013-01-01", "2013-01-02"])
DATES: dict[str, Any] = {
    "numpy": TIMES.to_numpy().reshape(-1, 1),
    "numpy timedelta": np.zeros((2, 1), "m8[s]"),
    "masked": {"c": np.ma.MaskedArray(TIMES.to_numpy())},
    "pandas": pd.DataFrame({"c": TIMES}),
    "pandas zone": pd.DataFrame({"c": TIMES.tz_localize("UTC")}),
    "pandas timedelta": pd.DataFrame({"c": TIMES - TIMES[0]}),
    "pandas period": pd.DataFrame({"c": TIMES.to_period("D")}),
    "pandas Arrow": pd.DataFrame({"c": TIMES}).astype(pd.ArrowDtype(pa.timestamp("ns"))),
    "polars": pl.DataFrame({"c": TIMES.to_numpy()}),
    "polars date": pl.DataFrame({"c": TIMES.to_numpy()}).cast(pl.Date),
    "Arrow": pa.table({"c": TIMES}),
    "Arrow date": pa.table({"c": pa.array([0, 1], pa.int32()).cast(pa.date32())}),
    "Arrow duration": pa.table({"c": pa.array([0, 1]).cast(pa.duration("s"))}),
}


@pytest.mark.parametrize("data", DATES.values(), ids=DATES)
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_times_are_refused_with_advice(data: Any, dtype: str) -> None:
    """Before any value is looked at: a time is never taken for its count of nanoseconds."""
    with pytest.raises(
        InputError, match=r"got dates or times \(.*\) \(column 'c'\); expected numbers derived from them"
    ):
        read_table(data, single(dtype, nullable=True))


class Exchange:
    """A frame of a library that is not known, though it could be exchanged."""

    def __dataframe__(self) -> None: ...

    def __arrow_c_stream__(self) -> None: ...


SHAPES: dict[str, tuple[Any, str]] = {
    "width": (np.zeros((2, 4)), r"got an array of shape \(2, 4\); expected an array of shape \(rows, 5\)"),
    "3-D": (np.zeros((2, 5, 1)), r"got an array of shape \(2, 5, 1\)"),
    "0-D": (np.array(1.0), r"got an array of shape \(\)"),
    "ragged": ({**COLUMNS, "flag": [True]}, r"got 1 rows \(column 'flag'\); expected 5 as in column 'amount'"),
    "mixed dict": (
        {**RECORDS[0], "amount": [1.5]},
        "got a dict of scalars and columns mixed; expected either one record or columns only",
    ),
    "matrix as a column": (
        {**COLUMNS, "amount": np.zeros((5, 1))},
        r"got an array of shape \(5, 1\) \(column 'amount'\); expected one value per row",
    ),
    "missing column": (
        pd.DataFrame(COLUMNS).rename(columns={"amount": "amuont"}),
        r"the column is missing, there is 'amuont' \(column 'amount'\); expected a column of that name",
    ),
    "missing column, nothing near": (POLARS.drop("temp"), r"the column is missing \(column 'temp'\)"),
    "missing field": (np.zeros(2, [("amount", "f8")]), r"the column is missing \(column 'count'\)"),
    "frame without names": (pd.DataFrame(object_matrix()), r"the column is missing \(column 'amount'\)"),
    "two of one name": (
        pd.concat([NULLABLE, NULLABLE[["temp"]]], axis=1),
        r"there are two columns of one name \(column 'temp'\); expected distinct names",
    ),
    "two of one name in Arrow": (
        ARROW.append_column("temp", ARROW.column(0)),
        r"there are two columns of one name \(column 'temp'\)",
    ),
    "empty dict": ({}, r"the key is missing \(column 'amount', row 0\)"),
    "polars lazy": (POLARS.lazy(), r"got a LazyFrame; expected a DataFrame: call .collect\(\)"),
    "Series": (NULLABLE.iloc[0], r"got a Series; expected a DataFrame: call .to_frame\(\)"),
    "path": ("rows.csv", "got a str; expected a dict .* a file is read by `edge predict`"),
    "generator": ((row for row in RECORDS), "got a generator; expected a dict"),
    "list of lists": ([[1, 2]], r"got a list \(row 0\); expected a dict with one value per column"),
    "reader": (ARROW.to_reader(), "got a RecordBatchReader; expected a dict .* or a pyarrow Table or RecordBatch"),
    "unknown frame": (Exchange(), "got a Exchange; expected a dict .* or a pyarrow Table or RecordBatch"),
    "None": (None, "got a NoneType; expected a dict"),
}


@pytest.mark.parametrize(("data", "says"), SHAPES.values(), ids=SHAPES)
def test_what_is_not_the_table_asked_for_is_refused(data: Any, says: str) -> None:
    """One line: what came, where, and what would be right."""
    with pytest.raises(InputError, match=says) as error:
        read(data)
    assert "\n" not in str(error.value)


def test_unknown_columns_of_tables_are_ignored_and_listed() -> None:
    """Batch keeps id columns; their types do not matter."""
    extra = {**COLUMNS, "id": [object()] * 5, "when": list(TIMES[:1]) * 5}
    for data in (extra, pd.DataFrame(extra), pd.DataFrame({"id": range(5), **COLUMNS, "when": TIMES[0]})):
        table = read_table(data, SCHEMA)
        assert set(table.ignored) == {"id", "when"}
        assert fill(table, SCHEMA, 5)["x"].tobytes() == WANTED.tobytes()
    assert read_table(NULLABLE.assign(**{"7": 1}).rename(columns={"7": 7}), SCHEMA).ignored == ("7",)
    assert read_table(ARROW, SCHEMA).ignored == ()


KEYS: dict[str, tuple[Mapping[Any, Any], str]] = {
    "typo": (
        {**{k: v for k, v in RECORDS[0].items() if k != "amount"}, "amuont": 1.5},
        r"the key is missing, there is 'amuont' \(column 'amount', row 2\); expected a key of that name",
    ),
    "missing": ({k: v for k, v in RECORDS[0].items() if k != "temp"}, r"the key is missing \(column 'temp', row 2\)"),
    "unknown": (
        {**RECORDS[0], "id": 3},
        r"the key is unknown \(column 'id', row 2\); expected only the keys 'amount', 'count', 'flag', "
        r"'carrier', 'temp'",
    ),
    "unknown, near": ({**RECORDS[0], "counts": 3}, r"the key is unknown \(column 'counts', row 2\); expected 'count'"),
    "not text": ({**RECORDS[0], 3: 3}, r"the key is unknown \(column '3', row 2\)"),
    "long": ({**RECORDS[0], "x" * 10_000: 3}, r"the key is unknown \(column 'x{100}…', row 2\)"),
}


@pytest.mark.parametrize(("record", "says"), KEYS.values(), ids=KEYS)
def test_records_have_exactly_the_keys_of_the_schema(record: Mapping[Any, Any], says: str) -> None:
    """A key more or less is refused with the row and the key that was probably meant."""
    with pytest.raises(InputError, match=says):
        read([RECORDS[0], RECORDS[1], record, {}])
    with pytest.raises(InputError) as error:
        check_keys(record, NAMES, None)
    assert error.value.row is None


def test_wrong_value_before_wrong_key_is_named_first() -> None:
    """Rows are judged in order, whatever is wrong with them."""
    records = [RECORDS[0], {**RECORDS[0], "temp": 101.0}, {}, {**RECORDS[0], "amount": "x"}]
    with pytest.raises(InputError, match=r"got float 101.0 \(column 'temp', row 1\)"):
        read(records, block=4)
    with pytest.raises(InputError, match=r"the key is missing \(column 'amount', row 2\)"):
        read([RECORDS[0], RECORDS[1], {}, {**RECORDS[0], "amount": "x"}], block=4)


def test_model_without_columns_has_no_tables() -> None:
    """A tensor model is fed by its tensors."""
    with pytest.raises(InputError, match=r"the model has no columns; expected its tensors, by run\(\)"):
        read_table([], Schema((), (TensorSpec("x", "float32", (None, 3)),), ()))


def test_threads_fill_their_own_blocks() -> None:
    """One table, many threads, the bits of one thread."""
    table = read_table(pd.concat([NULLABLE.astype({"carrier": "category"})] * 400, ignore_index=True), SCHEMA)

    def block(start: int) -> bytes:
        tensor = np.zeros((7, 5))
        stop = min(start + 7, table.rows)
        table.fill(start, stop, {"x": tensor})
        return tensor[: stop - start].tobytes()

    with ThreadPoolExecutor(8) as pool:
        blocks = list(pool.map(block, range(0, table.rows, 7)))
    assert b"".join(blocks) == WANTED.tobytes() * 400


def test_coders_at_hand_are_used() -> None:
    """A model makes its coders once."""
    laws = coders(SCHEMA)
    assert fill(read_table(NULLABLE, SCHEMA, laws), SCHEMA, 5)["x"].tobytes() == WANTED.tobytes()


def test_float_columns_are_read_in_place() -> None:
    """Reading takes views: what changes in the array afterwards is seen by fill."""
    matrix = np.zeros((3, 1))
    tables = [read_table(data, single("float64")) for data in (matrix, {"c": matrix[:, 0]})]
    matrix[1] = 5.0
    for table in tables:
        assert fill(table, single("float64"), 3)["x"].tolist() == [[0.0], [5.0], [0.0]]


def test_tables_load_no_library() -> None:
    """Frames are known by their type's name: reading plain data imports no frame library."""
    code = (
        "import sys; from edge_runtime.tables import read_table; from edge_runtime.schema import *\n"
        "s = Schema((ColumnSpec('c', 'float64', False, 'x', 0),), (TensorSpec('x', 'float64', (None, 1)),), ())\n"
        "import numpy; read_table({'c': [1.0]}, s).fill(0, 1, {'x': numpy.zeros((1, 1))})\n"
        "print([m for m in ('pandas', 'polars', 'pyarrow', 'difflib', 'zipfile', 'hashlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_frame_made_of_an_array_goes_by_the_text_of_its_numbers() -> None:
    """pandas names such columns 0, 1, …; the schema has text."""
    schema = Schema(
        (number("0", "float64", 1, False), number("1", "float64", 0, False)),
        (TensorSpec("x", "float64", (None, 2)),),
        (),
    )
    table = read_table(pd.DataFrame(np.array([[1.0, 2.0], [3.0, 4.0]])), schema, coders(schema))
    x = np.zeros((2, 2))
    table.fill(0, 2, {"x": x})
    assert x.tolist() == [[2.0, 1.0], [4.0, 3.0]]
