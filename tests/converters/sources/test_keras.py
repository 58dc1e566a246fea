"""Keras as a source, on the backend that is there: PyTorch's."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.datasets import load_digits

from edge_runtime.converters.files import read_model
from edge_runtime.converters.network import Network
from edge_runtime.converters.samples import Tensors, tensors_of
from edge_runtime.converters.source import Request, read_any
from edge_runtime.converters.sources.keras import choose_backend
from edge_runtime.errors import InputError, UnsupportedModelError
from edge_runtime.golden import differences

choose_backend()
import keras  # noqa: E402  # not before its backend is chosen

L = keras.layers
PIXELS, DIGITS = load_digits(return_X_y=True)
IMAGES = (PIXELS / 16).astype(np.float32).reshape(-1, 8, 8, 1)
DRAW = np.random.default_rng(5)
LEFT, RIGHT = (DRAW.normal(size=(40, width)).astype(np.float32) for width in (4, 3))


def cnn() -> Any:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    found = L.MaxPooling2D()(L.BatchNormalization()(L.Conv2D(8, 3, padding="same", activation="relu")(image)))
    model = keras.Model(image, L.Dense(10, activation="softmax")(L.Dropout(0.2)(L.Flatten()(found))))
    model.compile("adam", "sparse_categorical_crossentropy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' own, of numpy's future
        model.fit(IMAGES[:256], DIGITS[:256], epochs=2, verbose=0)
    return model


def two() -> Any:
    left, right = keras.Input((4,), name="left"), keras.Input((3,), name="right")
    both = L.Concatenate()([left, right])
    return keras.Model({"left": left, "right": right}, {"score": L.Dense(1)(both), "kind": L.Dense(2)(both)})


def text(layer: Any) -> Any:
    ids = keras.Input((None,), dtype="int32", name="ids")
    return keras.Model(ids, L.Dense(3)(layer(L.Embedding(50, 8)(ids))))


def attention(found: Any) -> Any:
    return L.GlobalAveragePooling1D()(L.LayerNormalization()(L.MultiHeadAttention(2, 4)(found, found)))


def read(model: Any, data: Any) -> Network:
    tensors = tensors_of(data, None)
    assert tensors is not None
    network = read_any(model, Request(None, "auto", None, tensors))
    assert isinstance(network, Network)
    return network


def largest(network: Network, tensors: Tensors | None) -> float:
    assert tensors is not None
    session = onnxruntime.InferenceSession(network.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    samples = tensors.of(network.schema.inputs)
    most = 0.0
    for i in range(min(len(samples), 60)):
        feed = samples.feed(i)
        wanted = network.reference(feed)
        for name, found in zip(wanted, session.run(list(wanted), feed), strict=True):
            most = max(most, float(differences(found, wanted[name]).max(initial=0.0)))
    return most


def saved(model: Any, path: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' own, of numpy's future
        model.save(path)
    return str(path)


def test_a_cnn_and_its_file_are_exported_alike(tmp_path: Path) -> None:
    """Any number of rows; the input by the name that it was given."""
    model = cnn()
    network = read(model, IMAGES)
    assert network.framework == f"Keras {keras.__version__}"
    assert [(spec.name, spec.shape) for spec in network.schema.inputs] == [("image", (None, 8, 8, 1))]
    assert [(spec.name, spec.shape) for spec in network.schema.outputs] == [("output", (None, 10))]
    assert largest(network, tensors_of(IMAGES, None)) < 1e-5
    again = read(read_model(saved(model, tmp_path / "model.keras"), trust=False), IMAGES)
    feed = {"image": IMAGES[:50]}
    assert np.array_equal(again.reference(feed)["output"], network.reference(feed)["output"])
    assert largest(again, tensors_of(IMAGES, None)) < 1e-5


def test_dicts_of_inputs_and_outputs_keep_their_names() -> None:
    """In the order in which Keras takes them."""
    data = {"right": RIGHT, "left": LEFT}
    network = read(two(), data)
    assert [spec.name for spec in network.schema.inputs] == ["left", "right"]
    assert [spec.name for spec in network.schema.outputs] == ["kind", "score"]
    assert largest(network, tensors_of(data, None)) < 1e-5
    with pytest.raises(InputError, match=r"those of the model: \['left', 'right'\]"):
        read(two(), {"left": LEFT, "wrong": RIGHT})


def test_attention_over_ids_of_any_length_is_exported() -> None:
    """Keras' own export on this backend fails for it."""
    data = [{"ids": DRAW.integers(0, 50, (1, length)).astype(np.int32)} for length in (3, 7, 5)]
    network = read(text(attention), data)
    assert network.schema.inputs[0].shape == (None, None)
    assert largest(network, tensors_of(data, None)) < 1e-5


def test_a_recurrent_layer_is_exported_at_one_length() -> None:
    """Keras writes it out step by step. Its own export does so at length 1, and answers otherwise at any other."""
    data = {"ids": DRAW.integers(0, 50, (20, 6)).astype(np.int32)}
    network = read(text(L.GRU(8)), data)
    assert network.schema.inputs[0].shape == (None, 6)
    assert largest(network, tensors_of(data, None)) < 1e-5
    ragged = [{"ids": np.zeros((1, length), np.int32)} for length in (3, 5)]
    with pytest.raises(UnsupportedModelError, match="axis 1 of 'ids' free, only at 5"):
        read(text(L.GRU(8)), ragged)


def test_a_model_that_was_never_built_is_refused() -> None:
    """It has no weights yet."""
    with pytest.raises(UnsupportedModelError, match="never built; call it once"):
        read(keras.Sequential([L.Dense(2)]), {"input": LEFT[:, None]})


def test_a_file_with_code_in_it_needs_trust(tmp_path: Path) -> None:
    """A Lambda layer is Python bytecode; other damage is told in one line."""
    given = keras.Input((4,))
    path = saved(keras.Model(given, L.Lambda(lambda x: x * 2)(given)), tmp_path / "model.keras")
    with pytest.raises(UnsupportedModelError, match=r"brings code of its own, and opening it runs that; if you trust"):
        read_model(path, trust=False)
    assert read_model(path, trust=True).built
    (tmp_path / "damaged.keras").write_bytes(b"none")
    with pytest.raises(UnsupportedModelError, match=r"damaged\.keras: it cannot be opened \(.*\); register"):
        read_model(str(tmp_path / "damaged.keras"), trust=False)


def test_a_file_is_opened_where_nobody_chose_a_backend(tmp_path: Path) -> None:
    """Keras alone would look for TensorFlow, and fail."""
    path = saved(two(), tmp_path / "model.keras")
    code = (
        "import sys; from edge_runtime.converters.files import read_model;"
        " model = read_model(sys.argv[1], trust=False); import keras; print(keras.config.backend())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    made = subprocess.run(
        [sys.executable, "-P", "-c", code, path], capture_output=True, text=True, check=True, env=environment
    )
    assert made.stdout.split() == ["torch"]
