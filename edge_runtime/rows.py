"""Files of rows, in and out: Parquet, CSV, JSON Lines, JSON.

Needs the extra `convert`, `batch` or `cli`; imported by spokes and commands only, never by the core.
Belongs here: which file holds which rows. Not here: what a value may be (values.py).
Imported as edge_runtime.rows.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from .errors import InputError, extra

__all__ = ["read_rows"]

SUFFIXES = (".parquet", ".csv", ".jsonl", ".json")


def read_rows(path: str | os.PathLike[str], *, text: tuple[str, ...] = ()) -> Any:
    """The rows of a file, or of standard input as JSON for "-".

    A pandas frame for .parquet, .csv and .jsonl, a list of dicts for JSON. ``text`` names the columns that a CSV file
    holds text in: "007" stays as it is, and only an empty field is missing.
    Raises InputError for a file of another kind, one that is not there, or one that cannot be read.
    """
    name = os.fspath(path)
    suffix = os.path.splitext(name)[1].lower()
    if name != "-" and suffix not in SUFFIXES:
        raise InputError(f"{name}: not a file of rows", expected=f"one of {', '.join(SUFFIXES)}")
    if name != "-" and not os.path.exists(name):
        raise InputError(f"{name}: no such file", expected="a file of rows")
    try:
        if name == "-" or suffix == ".json":
            data = json.loads(sys.stdin.read() if name == "-" else open(name, encoding="utf-8").read())  # noqa: SIM115
            return [data] if isinstance(data, dict) else data
        with extra("convert", used_by="edge_runtime.rows.read_rows"):
            import pandas
        if suffix == ".parquet":
            return pandas.read_parquet(name)
        if suffix == ".jsonl":
            return pandas.read_json(name, lines=True, dtype=False)
        return pandas.read_csv(
            name, dtype={column: str for column in text}, keep_default_na=False, na_values=[""],
            float_precision="round_trip",
        )  # fmt: skip
    except (ValueError, OSError) as error:
        raise InputError(f"{name}: {str(error).splitlines()[0]}", expected=f"a readable {suffix or '.json'} file") from error
