"""Models in files: what is opened, and only with trust."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from edge_runtime.converters import convert
from edge_runtime.converters.files import read_model
from edge_runtime.errors import InputError, UnsupportedModelError

ROWS = np.array([[0.0], [1.0]])


@pytest.fixture
def tree() -> Any:
    return DecisionTreeClassifier(random_state=0).fit(ROWS, [0, 1])


class Trap:
    """What a hostile pickle is: opening it runs a call of its maker's choice."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_a_pickle_is_not_opened_without_trust(tmp_path: Path) -> None:
    """It says why and how to trust it, and not a byte of it is run."""
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "ran")))
    with pytest.raises(UnsupportedModelError, match=r"model\.pkl is a pickle, .* runs whatever code.*trust=True"):
        convert(str(path), data=ROWS)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UnsupportedModelError, match="is not a model that can be read"):
        convert(path, data=ROWS, trust=True)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["tree.joblib", "tree.pkl", "Tree.PICKLE"])
def test_a_trusted_file_is_converted_and_named_in_the_provenance(tree: Any, tmp_path: Path, name: str) -> None:
    """By the file's own name: a path of the training machine is nobody's business."""
    joblib.dump(tree, tmp_path / name)
    conversion = convert(tmp_path / name, data=ROWS, trust=True)
    assert conversion.name == "DecisionTreeClassifier"
    assert conversion.manifest.provenance["source.file"] == name
    assert str(tmp_path) not in conversion.manifest.to_bytes().decode()
    assert conversion.model().predict(ROWS)["label"].tolist() == [0, 1]


def test_other_files_and_no_files_are_refused_by_name(tmp_path: Path) -> None:
    """Which files are read is part of the message."""
    with pytest.raises(
        UnsupportedModelError, match=r"model\.h5: not a model file that can be read; pass one of \.joblib"
    ):
        read_model(str(tmp_path / "model.h5"), trust=True)
    with pytest.raises(InputError, match=r"model\.joblib: no such file; expected a model file"):
        read_model(str(tmp_path / "model.joblib"), trust=True)
