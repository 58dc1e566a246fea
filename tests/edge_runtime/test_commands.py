"""`edge inspect`, `edge verify` and `edge predict`, as processes: what they print, and what their exit status says."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from pyarrow import parquet

import edge_runtime
from edge_runtime.bundle import Bundle
from edge_runtime.ending import Decision, Ending
from edge_runtime.manifest import Manifest, Variant
from edge_runtime.schema import ColumnSpec, TensorSpec

Edge = Callable[..., "subprocess.CompletedProcess[str]"]
Flights = Any  # of tests/conftest.py

HOSTILE = "[red]\x1b[2J\u202e\n<b>"
SHOWN = "[red]\\x1b[2J\\u202e\\n<b>"


def small_page(path: Path) -> str:
    """What `edge inspect` prints of the small bundle; the sizes are the file's own."""
    bundle = Bundle.open(path)
    root = len(bundle.manifest.to_bytes())
    stored = {entry.name: entry.stored for entry in bundle.manifest.entries}
    golden = stored["golden.json"] + stored["golden/x.bin"]
    sizes = {"graph.onnx": stored["graph.onnx"], "golden rows": golden, "edge.json": root}
    sizes["ZIP headers"] = bundle.size - sum(sizes.values())
    wide = max(len(f"{size:,}") for size in sizes.values())
    bars = {name: "█" * round(30 * size / bundle.size) for name, size in sizes.items()}
    shares = [
        f"  {name:11}  {size:>{wide},} bytes  {size / bundle.size:>5.1%}  {bars[name]}".rstrip()
        for name, size in sizes.items()
    ]
    graph = f"graph.onnx, {stored['graph.onnx']} bytes"
    columns = [f"  x{i}      float64  refused  any number" for i in range(8)]
    return "\n".join(
        [
            "small 1.0.0",
            f"digest   {bundle.digest}",
            "created  2026-01-02T03:04:05Z",
            "source   tests/conftest.py",
            f"size     {bundle.size / 1000:.1f} kB",
            "",
            "8 columns",
            "  column  type     missing  accepts     unknown",
            *columns,
            "",
            "graph takes",
            "  tensor  type     shape",
            "  x       float64  [N, 8]",
            "",
            "answers",
            "  output      type     shape  is",
            "  prediction  float64  [N]",
            "",
            "ending",
            "  prediction = raw / scale",
            "",
            "certificate",
            "            made by hand",
            "  replayed  golden rows, wherever the bundle is opened: prediction equal",
            "",
            "1 variant",
            f"  variant  precision  {'graph':{len(graph)}}  runs",
            f"  exact    float64    {graph}  blocks of rows, several at once",
            "",
            "provenance",
            "  source  tests/conftest.py",
            "",
            "size",
            *shares,
            "",
        ]
    )


def test_inspect_prints_the_page(edge: Edge, small_bundle: Path) -> None:
    """The whole page, on 80 columns, in a file or a pipe."""
    done = edge("inspect", small_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == small_page(small_bundle)


def test_inspect_fits_the_terminal(edge: Edge, flights: Flights) -> None:
    """No line is longer than the terminal is wide, and the digest stays on one."""
    done = edge("inspect", flights.bundle)
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert f"digest   {edge_runtime.Bundle.open(flights.bundle).digest}" in lines
    assert any(len(line) > 80 for line in edge("inspect", flights.bundle, COLUMNS="160").stdout.splitlines())


def test_inspect_tells_a_trained_model(edge: Edge, flights: Flights) -> None:
    """Types, missing values, categories and what unknown ones do; classes; what was compared."""
    lines = edge("inspect", flights.bundle).stdout.splitlines()
    assert "  hour      int64    answered  -2^53 to 2^53" in lines
    assert "  origin    str      answered  'EWR', 'JFK', 'LGA'             answered" in lines
    assert "  label          int64    [N]     a class: 0, 1" in lines
    assert "  p = 1 / (1 + exp(-raw)) of the second class" in lines
    assert any(line.startswith("  checked   ") for line in lines)


def test_inspect_as_json_is_edge_json(edge: Edge, small_bundle: Path) -> None:
    """A program reads what edge.json says, with the digest and the size of each part."""
    data = json.loads(edge("inspect", small_bundle, "--json").stdout)
    bundle = Bundle.open(small_bundle)
    assert (data.pop("digest"), data.pop("size"), data.pop("path")) == (bundle.digest, bundle.size, str(small_bundle))
    assert sum(data.pop("sizes").values()) == bundle.size
    assert data == json.loads(bundle.manifest.to_bytes())


@pytest.fixture
def hostile(tmp_path: Path, small_manifest: Manifest, small_contents: dict[str, bytes]) -> Path:
    """A bundle whose every foreign text would act on a terminal or a page."""
    infinity = float("inf")
    columns = [ColumnSpec(f"x{i}", "float64", False, "x", i, -infinity, infinity) for i in range(8)]
    columns[0] = ColumnSpec(HOSTILE, "str", False, "x", 0, categories=(HOSTILE, "b"))
    outputs = TensorSpec(HOSTILE, "float64", (None,)), TensorSpec("is" + HOSTILE, "bool", (None,))
    ending = Ending("logistic", classes=(HOSTILE, "b"), class_dtype="str", decision=Decision(HOSTILE, "is" + HOSTILE))
    certificate = replace(
        small_manifest.certificate,
        largest={HOSTILE: 0.0},
        tolerance={HOSTILE: 0.0},
        statements=(HOSTILE, f"checked: {HOSTILE}"),
    )
    manifest = replace(
        small_manifest,
        name=HOSTILE,
        version=HOSTILE,
        created=HOSTILE,
        schema=replace(small_manifest.schema, columns=tuple(columns), outputs=outputs),
        ending=ending,
        certificate=certificate,
        provenance={HOSTILE: HOSTILE, "source": HOSTILE, f"library.{HOSTILE}": HOSTILE},
        variants=(Variant(HOSTILE, "graph.onnx", HOSTILE, 4096, True),),
    )
    path = tmp_path / "hostile.edge"
    Bundle.write(path, manifest, small_contents)
    return path


def test_foreign_text_is_escaped_wherever_it_is_shown(edge: Edge, hostile: Path) -> None:
    """Neither a terminal's control characters nor rich's markup act; every line is printable."""
    done = edge("inspect", hostile, COLUMNS="200")
    assert done.returncode == 0
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert done.stdout.count(SHOWN) >= 12
    assert edge("inspect", hostile, "--json").stdout.isascii()
    refused = edge("verify", hostile)  # its golden rows do not fit the schema
    assert refused.returncode == 1
    assert refused.stderr.removesuffix("\n").isprintable()


def tensor_graph(path: Path) -> Path:
    """y = x + 1 over [N, 2] float32, as a plain .onnx file."""
    shape: list[int | None] = [None, 2]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)
    one = helper.make_tensor("one", onnx.TensorProto.FLOAT, [], [1.0])
    graph = helper.make_graph([helper.make_node("Add", ["x", "one"], ["y"])], "g", [x], [y], [one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_a_plain_onnx_file_says_what_it_lacks(edge: Edge, tmp_path: Path) -> None:
    """It is shown, and nobody takes it for a bundle."""
    path = tensor_graph(tmp_path / "plain.onnx")
    done = edge("inspect", path)
    digest = edge_runtime.load(path).digest
    assert done.stdout == (
        f"plain\ndigest  {digest}\n\n"
        "graph takes\n  tensor  type     shape\n  x       float32  [N, 2]\n\n"
        "answers\n  output  type     shape   is\n  y       float32  [N, 2]\n\n"
        "lacks\n  a plain .onnx file: no certificate, no golden rows, no categories; its answers\n"
        "  were compared with nothing\n"
    )
    data = json.loads(edge("inspect", path, "--json").stdout)
    assert data["digest"] == digest
    assert data["schema"]["inputs"] == [{"dtype": "float32", "name": "x", "shape": [None, 2]}]
    assert data["lacks"].startswith("a plain .onnx file")


def test_verify_prints_what_differs_at_most(edge: Edge, small_bundle: Path) -> None:
    """Per output, what was found and what is allowed."""
    done = edge("verify", small_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"small 1.0.0, {Bundle.open(small_bundle).digest}\n"
        "3 golden rows replayed, each alone and all as one table\n"
        "  prediction  equal  (must be equal)\n"
        "verified: this machine answers as recorded\n"
    )
    data = json.loads(edge("verify", small_bundle, "--json").stdout)
    assert data["ok"] is True
    assert (data["rows"], data["problems"]) == (3, [])
    assert data["variants"] == [
        {
            "largest": {"prediction": 0.0},
            "ok": True,
            "problems": [],
            "tolerance": {"prediction": 0.0},
            "variant": "exact",
        }
    ]


def wrong_answers(path: Path, manifest: Manifest, contents: dict[str, bytes], *, row: int) -> Path:
    """A small bundle of six golden rows, in one of which another answer is recorded."""
    rows = [{f"x{i}": n / 64 for i in range(8)} for n in range(6)]
    outputs = [{"prediction": n / 8 + (0.5 if n == row else 0.0)} for n in range(6)]
    golden = json.dumps({"outputs": outputs, "rows": rows}).encode()
    Bundle.write(path, manifest, {**contents, "golden.json": golden})
    return path


def test_verify_says_no_where_an_answer_differs(
    edge: Edge, tmp_path: Path, small_manifest: Manifest, small_contents: dict[str, bytes]
) -> None:
    """Status 1, with the row, what was found and what was recorded."""
    path = wrong_answers(tmp_path / "w.edge", small_manifest, small_contents, row=4)
    done = edge("verify", path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[2:] == [
        "  prediction  within 0.5  (must be equal)",
        "golden row 4: prediction is 0.5, recorded 1.0",
        "golden row 4 in a table: prediction is 0.5, recorded 1.0",
        "NOT verified: answers differ here",
    ]
    again = edge("verify", path, "--json")
    assert again.returncode == 1
    assert json.loads(again.stdout)["ok"] is False


def test_verify_says_no_where_the_self_test_fails(
    edge: Edge, tmp_path: Path, small_manifest: Manifest, small_contents: dict[str, bytes]
) -> None:
    """Loading refuses such a bundle already; as JSON that is an answer like any other."""
    path = wrong_answers(tmp_path / "w.edge", small_manifest, small_contents, row=0)
    done = edge("verify", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"edge: {path}: the golden rows are not answered as recorded: golden row 0")
    again = edge("verify", path, "--json")
    assert again.returncode == 1
    assert json.loads(again.stdout)["problems"][0] in done.stderr


def test_verify_tells_a_damaged_bundle_from_no_bundle(edge: Edge, tmp_path: Path, small_bundle: Path) -> None:
    """1: it is not what was written. 2: it is nothing that could be verified."""
    raw = bytearray(small_bundle.read_bytes())
    place = raw.index(bytes([7, 1, 250, 3, 99]))  # in golden/x.bin
    raw[place] ^= 1
    damaged = tmp_path / "damaged.edge"
    damaged.write_bytes(raw)
    other = tmp_path / "other.edge"
    other.write_text("no bundle")
    for path, status in ((damaged, 1), (other, 2), (tensor_graph(tmp_path / "plain.onnx"), 2)):
        done = edge("verify", path)
        assert done.returncode == status
        assert done.stderr.startswith(f"edge: {path}: ")
        assert done.stderr.count("\n") == 1


def records(frame: Any) -> list[dict[str, Any]]:
    """Rows as an app would write them in JSON."""
    made: list[dict[str, Any]] = json.loads(frame.to_json(orient="records"))
    return made


def test_predict_answers_alike_from_every_file(edge: Edge, flights: Flights, tmp_path: Path) -> None:
    """JSON, JSON Lines, CSV, Parquet and standard input: one line per row, the same bits."""
    frame = flights.frame.head(60)
    rows = records(frame)
    outputs = edge_runtime.load(flights.bundle).predict(frame)
    wanted = [
        {"label": label, "probabilities": p}
        for label, p in zip(outputs["label"].tolist(), outputs["probabilities"].tolist(), strict=True)
    ]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (tmp_path / "r.json").write_text(json.dumps(rows))
    (tmp_path / "r.jsonl").write_text(lines)
    frame.to_csv(tmp_path / "r.csv", index=False)
    frame.to_parquet(tmp_path / "r.parquet")
    for name in ("r.json", "r.jsonl", "r.csv", "r.parquet", "-"):
        done = edge("predict", flights.bundle, name, stdin=lines if name == "-" else "")
        assert (done.returncode, done.stderr) == (0, "")
        assert [json.loads(line) for line in done.stdout.splitlines()] == wanted, name


def test_predict_answers_one_object_with_one(edge: Edge, flights: Flights) -> None:
    """A shell script sends one record and gets one answer."""
    row = records(flights.frame.head(1))[0]
    done = edge("predict", flights.bundle, "-", "-o", "answer.json", stdin=json.dumps(row, indent=2))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "1 row written to answer.json\n")
    answer = edge("predict", flights.bundle, "-", stdin=json.dumps(row))
    assert json.loads(answer.stdout) == edge_runtime.load(flights.bundle).predict_one(row)


def test_predict_writes_every_kind_of_file(edge: Edge, flights: Flights, tmp_path: Path) -> None:
    """The answers to a table, and which of its columns were no use."""
    outputs = edge_runtime.load(flights.bundle).predict(flights.frame)
    for name in ("out.csv", "out.parquet", "out.jsonl", "out.json"):
        done = edge("predict", flights.bundle, flights.rows, "-o", name)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.splitlines() == [
            f"{flights.rows}: ignored, since the model does not take them: late", f"600 rows written to {name}",
        ]  # fmt: skip
    with (tmp_path / "out.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == ["label", "probabilities.0", "probabilities.1"]
    assert [float(row["probabilities.1"]) for row in read] == outputs["probabilities"][:, 1].tolist()
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table["probabilities"].to_pylist() == outputs["probabilities"].tolist()
    assert table.schema.metadata[b"edge_runtime.model"] == b"flights 1.2.0"
    assert len(json.loads((tmp_path / "out.json").read_text())) == 600
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 600


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "r.csv",
            "hour,distance,air_time,carrier,origin\n5,100,1.5,UA,JFK\n5.5,100,1.5,UA,JFK\n",
            "r.csv: got float 5.5 (column 'hour', row 1); expected an integer",
        ),
        ("r.csv", "hour,distance,air_time,carrier\n5,100,1.5,UA\n", "r.csv: the column is missing (column 'origin')"),
        (
            "r.csv",
            "hour,distance,air_time,carrier,origin\nNA,1,1,UA,JFK\n",
            "r.csv: got str 'NA' (column 'hour', row 0)",
        ),
        ("r.json", '[{"hour": 5, "hours": 6}]', "r.json: "),
        ("r.json", "[]", "r.json: there are no rows in it; expected at least one"),
        ("r.json", "{", "r.json: "),
        ("r.txt", "", "r.txt: not a file that can be read here; expected .parquet, .csv, .jsonl or .json"),
        ("none.csv", None, "none.csv: no such file"),
    ],
)
def test_predict_names_file_column_and_row(
    edge: Edge, flights: Flights, tmp_path: Path, name: str, content: str | None, says: str
) -> None:
    """One line, and the old output stays as it was."""
    if content is not None:
        (tmp_path / name).write_text(content)
    (tmp_path / "out.csv").write_text("old")
    done = edge("predict", flights.bundle, name, "-o", "out.csv")
    assert done.returncode == 2
    assert done.stderr.startswith(f"edge: {says}")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "out.csv").read_text() == "old"


def test_predict_checks_its_output_first(edge: Edge, flights: Flights) -> None:
    """A million rows are not answered for a name that cannot be written."""
    done = edge("predict", "none.edge", "none.csv", "-o", "out.xlsx")
    assert done.stderr == (
        "edge: out.xlsx: not a name to write to; expected one that ends in .parquet, .csv, .jsonl, .json or .npz\n"
    )
    assert done.returncode == 2


def test_predict_takes_tensors_as_npz(edge: Edge, tmp_path: Path) -> None:
    """Arrays in, arrays out; rows are refused with the tensors' names."""
    model = tensor_graph(tmp_path / "plain.onnx")
    np.savez(tmp_path / "in.npz", x=np.array([[1.5, 2.5], [3.0, 4.0]], np.float32))
    done = edge("predict", model, "in.npz", "-o", "out.npz")
    assert (done.returncode, done.stderr) == (0, "1 tensor written to out.npz\n")
    with np.load(tmp_path / "out.npz") as found:
        assert found["y"].tolist() == [[2.5, 3.5], [4.0, 5.0]]
    refused = edge("predict", model, "rows.csv")
    assert refused.returncode == 2
    assert refused.stderr == "edge: plain takes tensors (x); expected an .npz file, and -o with another one\n"
    np.savez(tmp_path / "in.npz", z=np.zeros((1, 2), np.float32))
    assert edge("predict", model, "in.npz", "-o", "out.npz").stderr.startswith("edge: in.npz: unknown tensor")
