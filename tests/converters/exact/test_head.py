"""Class labels as an ending has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_runtime.converters.exact.head import classes_of
from edge_runtime.errors import UnsupportedModelError


@pytest.mark.parametrize(
    ("classes", "wanted", "dtype"),
    [
        (np.array(["a", "b"]), ("a", "b"), "str"),
        (np.array(["a", "b"], object), ("a", "b"), "str"),
        (np.array([False, True]), (False, True), "bool"),
        (np.array([0, 7], np.uint8), (0, 7), "int64"),
        (np.array([-1.0, 1.0]), (-1.0, 1.0), "float64"),
        (np.array([0.5, 1.0], np.float32), (0.5, 1.0), "float64"),
    ],
)
def test_labels_are_plain_python_of_one_kind(classes: Any, wanted: tuple[Any, ...], dtype: str) -> None:
    """In the order of training; bools stay bools, and text in objects is text."""
    found, kind = classes_of(classes)
    assert (found, kind) == (wanted, dtype)
    assert list(map(type, found)) == list(map(type, wanted))


@pytest.mark.parametrize("classes", [np.array([0, "a"], object), np.array([True, 2], object), np.array([b"a", b"b"])])
def test_labels_of_several_or_other_kinds_are_refused(classes: Any) -> None:
    """A device has one dtype for them; the kinds are named."""
    with pytest.raises(
        UnsupportedModelError, match=r"class labels are \[.*\]; train on labels of one kind: text, int, bool"
    ):
        classes_of(classes)
