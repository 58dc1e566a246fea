"""Progress: a line for each stage where nobody watches, nothing where programs read."""

from __future__ import annotations

import inspect
import re

import pytest

from edge_runtime.converters import conversion
from edge_runtime.converters.precision import bench, layers, search
from edge_runtime.converters.progress import STAGES, progress


def test_each_stage_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    """When it begins; on standard error."""
    with progress(silent=False) as tell:
        for done in range(3):
            tell("recipes", done, 3)
        tell("layers", 0, 9)
        tell("recipes", 3, 3)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [STAGES["recipes"], STAGES["layers"]]


def test_nothing_is_shown_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json."""
    with progress(silent=True) as tell:
        tell("read", 0, 1)
    assert capsys.readouterr() == ("", "")


def test_every_stage_that_is_told_has_words() -> None:
    """Those of the conversion and of the search."""
    told = {
        stage
        for module in (conversion, bench, layers, search)
        for stage in re.findall(r'\btell\(\s*"([^"]+)"', inspect.getsource(module))
    }
    assert {"read", "recipes", "layers", "certify", "self-test"} <= told
    assert told <= set(STAGES)
