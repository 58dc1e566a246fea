"""What a bundle says of where it comes from."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from edge_runtime.converters import convert
from edge_runtime.converters.provenance import fingerprint, now
from edge_runtime.version import VERSION

FRAME = pd.DataFrame({"a": [1.0, np.nan, -0.5], "b": ["x", None, ""]})


def test_the_fingerprint_is_that_of_the_rows() -> None:
    """The same rows in the same order have the same one, whatever the index is."""
    known = fingerprint(FRAME)
    assert known.startswith("sha256:")
    assert len(known) == 71
    assert fingerprint(FRAME.copy()) == known
    assert fingerprint(FRAME.set_axis([7, 8, 9])) == known


@pytest.mark.parametrize(
    "changed",
    [
        FRAME.iloc[::-1],
        FRAME.iloc[:2],
        FRAME.assign(a=[1.0, np.nan, np.nextafter(-0.5, 0.0)]),
        FRAME.assign(b=["x", None, " "]),
        FRAME.rename(columns={"a": "c"}),
        FRAME.assign(a=FRAME["a"].astype("float32")),
    ],
    ids=["order", "rows", "value", "text", "name", "dtype"],
)
def test_any_change_of_the_data_changes_the_fingerprint(changed: pd.DataFrame) -> None:
    """Values, order, names and dtypes all count."""
    assert fingerprint(changed) != fingerprint(FRAME)


def test_the_time_is_utc_to_the_second() -> None:
    """As ISO 8601, so that it sorts as text."""
    told = datetime.strptime(now(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - told).total_seconds()) < 5.0


def test_a_bundle_names_its_source_libraries_and_data() -> None:
    """Enough to train and convert it again."""
    rows = np.array([[0.0, 1.0], [1.0, 0.5], [2.0, 0.25]])
    manifest = convert(DecisionTreeClassifier().fit(rows, [0, 1, 1]), data=rows, name="small", version="3.1").manifest
    assert (manifest.name, manifest.version) == ("small", "3.1")
    told = manifest.provenance
    assert told["source"] == f"scikit-learn {sklearn.__version__}"
    assert (told["edge-runtime"], told["python"]) == (VERSION, platform.python_version())
    assert (told["data.rows"], told["data.fingerprint"]) == ("3", fingerprint(pd.DataFrame(rows, columns=["x0", "x1"])))
    for library in ("numpy", "onnx", "onnxruntime", "pandas", "scikit-learn"):
        assert told[f"library.{library}"] == version(library)
    assert "library.skl2onnx" not in told
    assert abs((datetime.now(UTC) - datetime.fromisoformat(manifest.created)).total_seconds()) < 60.0


def test_skl2onnx_is_named_where_it_was_used() -> None:
    """What it writes depends on its version."""
    rows = np.array([[0.0], [1.0], [2.0], [3.0]])
    told = convert(GaussianNB().fit(rows, [0, 0, 1, 1]), data=rows).manifest.provenance
    assert told["library.skl2onnx"] == version("skl2onnx")
