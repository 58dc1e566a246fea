"""One battery for all model families: what is asked of every case in conftest.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import edge_runtime
from edge_runtime.converters import Conversion
from edge_runtime.errors import InputError
from edge_runtime.golden import differences
from edge_runtime.model import Model
from edge_runtime.schema import ColumnSpec

Converted = Any  # of conftest.py
Arrays = dict[str, NDArray[Any]]

CALLS = {
    "label": "predict", "prediction": "predict", "probabilities": "predict_proba", "scores": "decision_function",
    "score": "decision_function", "features": "transform",
}  # fmt: skip
EXACT, USUAL = 2e-12, 1e-5
NUMBERS = [None, np.inf, -np.inf, 0.0, -0.0, 5e-324, 0.1, 17.0, -17.0, 1e30, -1e30, 1e300]
INTEGERS = [None, 0, 1, -1, 17, 2359, 10**6, 2**31]
TEXTS = [None, "", "never seen", " ", "UA", "ua"]


def bits(outputs: Arrays) -> list[tuple[str, Any, Any]]:
    """What distinguishes outputs: names, dtypes, and every bit; numbers that == calls equal may differ here."""
    return [(name, a.dtype, a.tolist() if a.dtype == object else a.tobytes()) for name, a in outputs.items()]


def stack(rows: list[dict[str, Any]], like: Arrays) -> Arrays:
    return {name: np.array([row[name] for row in rows], array.dtype) for name, array in like.items()}


def answers(case: Converted, data: Any) -> Arrays:
    """What the source itself answers to rows as it takes them, by the names of the contract."""
    source, decision = case.source, case.case.options.get("decision")
    if decision is not None:
        score = source.predict_proba(data)[:, 1]
        return {decision.score: score, decision.name: score > decision.threshold}
    made = {}
    for output in case.one.schema.outputs:
        name, _, target = output.name.partition("_")
        answer = getattr(source, CALLS[name])(data)
        made[output.name] = np.asarray(answer[int(target)] if target else answer)
    return made


def rows_of(data: Any, picked: Any) -> Any:
    return data.iloc[picked] if isinstance(data, pd.DataFrame) else data[picked]


def many(data: Any, rows: int) -> Any:
    """The data over and over, up to so many rows: enough of them for a second thread to take part."""
    return rows_of(data, np.arange(rows) % len(data))


def record_of(model: Model, data: Any, row: int) -> dict[str, Any]:
    values = data.iloc[row].to_dict() if isinstance(data, pd.DataFrame) else dict(enumerate(data[row].tolist()))
    names = [column.name for column in model.schema.columns]
    if not isinstance(data, pd.DataFrame):
        return dict(zip(names, values.values(), strict=True))
    return {name: data[name].iloc[row] for name in names}


def test_every_row_is_answered_as_the_source_answers_it(battery: Converted) -> None:
    """No label differs, and no number by more than was certified; asked of scikit-learn here, not of the converter."""
    wanted, found = answers(battery, battery.data), battery.one.predict(battery.data)
    assert list(found) == list(wanted)
    certified = battery.conversion.report.largest
    for name, reference in wanted.items():
        assert found[name].shape == reference.shape
        gap = float(differences(found[name], reference).max())
        if battery.case.exact:
            assert gap <= min(EXACT, certified.get(name, 0.0))
        else:
            assert gap <= (USUAL if name in certified else 0.0)


def test_the_report_counts_what_was_compared(battery: Converted) -> None:
    """All rows of the data, edge rows beside them, and golden rows among what the bundle carries."""
    report = battery.conversion.report
    assert report.rows == len(battery.data)
    assert report.edge_rows >= 5 * len(battery.one.schema.columns)
    assert report.golden_rows == len(battery.one.golden_rows()) > 4
    assert max(report.largest.values(), default=0.0) <= (EXACT if battery.case.exact else USUAL)


def test_the_bundle_is_that_of_the_conversion_and_verifies(battery: Converted) -> None:
    """Saved, opened, pinned by its digest, and its golden rows answered as recorded: alone and in a table."""
    model = edge_runtime.load(battery.path, digest=battery.one.digest)
    report = model.verify()
    assert report.ok
    assert report.rows == battery.conversion.report.golden_rows
    assert isinstance(battery.conversion, Conversion)
    assert battery.conversion.model().digest == model.digest
    assert model.name == battery.conversion.name


def test_edge_values_are_answered_or_refused_as_the_source_does(battery: Converted) -> None:
    """Missing, infinite, signed zero, huge, unknown, empty: one column at a time, in a row that the source knows."""
    model, answered = battery.one, 0
    base = record_of(model, battery.data, 0)
    for place, column in enumerate(model.schema.columns):
        for value in values_for(column):
            found = ask_model(model, base | {column.name: value})
            wanted = ask_source(battery, place, column, value)
            if not battery.case.exact and found is None:
                continue  # what was only converted may refuse more
            assert (found is None) == (wanted is None), (column.name, value)
            if found is None or wanted is None:
                continue
            answered += 1
            for name, reference in wanted.items():
                gap = float(differences(found[name], reference[0]).max(initial=0.0))
                assert gap <= (EXACT if battery.case.exact else USUAL), (column.name, value, name)
    assert answered >= 2 * len(model.schema.columns)


def values_for(column: ColumnSpec) -> list[Any]:
    if column.dtype == "str":
        return list(TEXTS)
    if column.dtype == "bool":
        return [True, False]
    if column.dtype.startswith("float"):
        widest = float(np.finfo(column.dtype).max)
        return [
            v if v is None else float(np.dtype(column.dtype).type(v))
            for v in NUMBERS
            if not v or np.isinf(v) or abs(v) < widest
        ]
    info = np.iinfo(column.dtype)
    return [v for v in INTEGERS if v is None or info.min <= v <= info.max]


def ask_model(model: Model, record: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return model.predict_one(record)
    except InputError:
        return None


def ask_source(case: Converted, place: int, column: ColumnSpec, value: Any) -> Arrays | None:
    row = rows_of(case.data, [0]).copy()
    if isinstance(row, pd.DataFrame):
        dtype = row[column.name].dtype
        if isinstance(dtype, pd.CategoricalDtype):
            value = value if value in dtype.categories else None  # it holds no other
        elif column.dtype not in ("str", "bool"):
            dtype = column.dtype if value is not None else "float64"
        row[column.name] = pd.Series([np.nan if value is None and column.dtype != "str" else value], row.index, dtype)
    else:
        row = row.astype(column.dtype)
        row[0, place] = np.nan if value is None else value
    try:
        with np.errstate(all="ignore"), threadpool_limits(1):  # two cannot share a row, but wait for each other
            return answers(case, row)
    except (ValueError, TypeError):
        return None


def test_no_bit_of_an_answer_depends_on_the_other_rows(exact_case: Converted) -> None:
    """Blocks of 1 to 100 rows, the whole, permuted rows, one thread and two: the same bits, and those of one row."""
    model, data = exact_case.one, exact_case.data
    whole = model.predict(data)
    part = rows_of(data, np.arange(min(len(data), 150)))
    first = {name: array[: len(part)] for name, array in whole.items()}
    for size in range(1, 101):
        blocks = [model.predict(rows_of(part, slice(at, at + size))) for at in range(0, len(part), size)]
        joined = {name: np.concatenate([block[name] for block in blocks]) for name in whole}
        assert bits(joined) == bits(first), size
    order = np.random.default_rng(0).permutation(len(data))
    assert bits(model.predict(rows_of(data, order))) == bits({name: array[order] for name, array in whole.items()})
    alone = [model.predict_one(record_of(model, data, row)) for row in range(len(part))]
    assert bits(stack(alone, whole)) == bits(first)


def test_no_bit_of_an_answer_depends_on_the_number_of_threads(exact_case: Converted) -> None:
    """Enough rows for two threads to share, and for blocks to end in odd places."""
    rows = many(exact_case.data, 9001)
    wanted = bits(exact_case.one.predict(rows))
    assert bits(exact_case.two.predict(rows)) == wanted
    whole = exact_case.one.predict(exact_case.data)
    assert bits({name: array[np.arange(9001) % len(exact_case.data)] for name, array in whole.items()}) == wanted


def test_labels_do_not_depend_on_the_other_rows_and_numbers_hardly(usual_case: Converted) -> None:
    """What skl2onnx converts keeps its labels in any block, order and thread; its numbers stay as certified."""
    model, data = usual_case.one, usual_case.data
    tolerance = model.manifest.certificate.tolerance if model.manifest else {}
    whole = model.predict(data)
    order = np.random.default_rng(0).permutation(len(data))
    tiled = np.arange(9001) % len(data)
    alone = [model.predict_one(record_of(model, data, row)) for row in range(60)]
    found = [
        (model.predict(rows_of(data, slice(7, 60))), {name: array[7:60] for name, array in whole.items()}),
        (model.predict(rows_of(data, order)), {name: array[order] for name, array in whole.items()}),
        (usual_case.two.predict(rows_of(data, tiled)), {name: array[tiled] for name, array in whole.items()}),
        (stack(alone, whole), {name: array[:60] for name, array in whole.items()}),
    ]
    for outputs, wanted in found:
        for name, array in wanted.items():
            assert float(differences(outputs[name], array).max()) <= tolerance.get(name, 0.0)


def test_the_certificate_says_what_holds(battery: Converted) -> None:
    """Exact: the same bits elsewhere too, or 1e-12 behind a Gemm. Converted by skl2onnx: checked, and so it says."""
    manifest = battery.one.manifest
    assert manifest is not None
    tolerance = set(manifest.certificate.tolerance.values())
    assert tolerance <= ({0.0, 1e-12} if battery.case.exact else {USUAL})
    text = "\n".join(manifest.certificate.statements)
    assert ("skl2onnx" in text) is not battery.case.exact
    assert ("the same bits" in text) is battery.case.exact
