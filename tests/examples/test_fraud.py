"""The worked example does what it says: one model by every way, and the guide's own snippets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "fraud"


def run(script: str, tmp_path: Path) -> str:
    """What the script prints; it must end well."""
    settings = {**os.environ, "EDGE_CACHE": str(tmp_path), "EDGE_EXAMPLE_OUT": str(tmp_path / "out")}
    settings.pop("MLFLOW_TRACKING_URI", None)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script)],
        env=settings, capture_output=True, text=True, timeout=900, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    assert not list(folder.iterdir())  # nor are there files where somebody runs it
    return done.stdout


def test_the_guides_snippets_give_one_score(tmp_path: Path) -> None:
    """FastAPI's TestClient, the daily Parquet, the script on the device."""
    said = run("guide.py", tmp_path)
    assert re.search(r"'fraud_score': [\d.]+, 'is_fraud': False, 'model_version': '1'", said)
    assert "batch       125,000 rows" in said
    assert "the same score, to the bit, by all three" in said


@pytest.mark.usefixtures("java")
def test_every_way_gives_every_flight_the_same_bits(tmp_path: Path) -> None:
    """The registry, the device, REST, batch, Spark and MLflow: no label differs, no bit does."""
    said = run("challenge.py", tmp_path)
    rows = [line for line in said.splitlines() if line.startswith("│")]
    assert len(rows) == 10
    for row in rows:
        _, path, count, labels, apart, same, *_ = (cell.strip() for cell in row.split("│"))
        assert count in ("2,000", "327,346"), path
        assert (labels, same) == ("0", "yes"), row
        assert float(apart) <= 1e-12, row
