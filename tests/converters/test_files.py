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
        UnsupportedModelError, match=r"model\.bin: not a model file that can be read; pass one of \.joblib"
    ):
        read_model(str(tmp_path / "model.bin"), trust=True)
    with pytest.raises(InputError, match=r"model\.joblib: no such file; expected a model file"):
        read_model(str(tmp_path / "model.joblib"), trust=True)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("model.tflite", r"tf2onnx\.convert --tflite .*model\.tflite --output model\.onnx"),
        ("model.pb", r"tf2onnx\.convert --graphdef .*model\.pb --inputs NAME:0 --outputs NAME:0"),
        ("model.h5", r"whatever safe_mode says .*tf2onnx\.convert --keras .*model\.h5"),
        ("saved", r"SavedModel of TensorFlow; .*tf2onnx\.convert --saved-model .*saved --output model\.onnx"),
        ("saved/saved_model.pb", r"SavedModel of TensorFlow; .*tf2onnx\.convert --saved-model .*saved --output"),
    ],
)
def test_what_tensorflow_writes_is_refused_with_the_way_through_tf2onnx(
    tmp_path: Path, name: str, command: str
) -> None:
    """The exact command: none of them is read here, however much it is trusted."""
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    with pytest.raises(UnsupportedModelError, match=command):
        read_model(str(tmp_path / name), trust=True)
