"""Finding the reader of a model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from edge_runtime.converters import source as module
from edge_runtime.converters.data import read_data
from edge_runtime.converters.source import Request, read_source
from edge_runtime.converters.sources import sklearn as sklearn_reader
from edge_runtime.errors import UnsupportedModelError

ROWS = np.array([[0.0], [1.0]])
REQUEST = Request(read_data(ROWS), "auto", None)


@pytest.mark.parametrize("model", [3, "a text", None, object(), DecisionTreeClassifier, SimpleNamespace(predict=len)])
def test_what_nobody_reads_is_refused_with_what_could_be_read(model: Any) -> None:
    """The class of what was given, and the readers by name; a class is no model, and neither is a look-alike."""
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    with pytest.raises(
        UnsupportedModelError, match=r"is not a model that can be read; pass a fitted model of: .*sklearn"
    ) as caught:
        read_source(model, REQUEST)
    assert caught.value.what.startswith(kind)


def test_the_reader_of_scikit_learn_is_found_by_its_entry_point() -> None:
    """Registered as a third party's would be."""
    assert sklearn_reader in list(module.readers())
    source = read_source(DecisionTreeClassifier().fit(ROWS, [0, 1]), REQUEST)
    assert source.framework.startswith("scikit-learn ")
    assert source.exact


def test_a_third_partys_reader_is_asked_like_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that accepts reads."""
    mine = SimpleNamespace(accepts=lambda model: model == "mine", read=lambda model, request: (model, request))
    monkeypatch.setattr(module, "readers", lambda **_: [mine])
    found: Any = read_source("mine", REQUEST)
    assert found == ("mine", REQUEST)
    with pytest.raises(UnsupportedModelError):
        read_source("yours", REQUEST)
