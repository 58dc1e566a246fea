"""Preparation of images in the graph, against numpy and Pillow."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
import PIL.Image
import pytest
from onnx import TensorProto, helper

from edge_runtime.converters.preprocessing import Image, from_json, images_of, with_preprocessing
from edge_runtime.errors import InputError, UnsupportedModelError

DRAW = np.random.default_rng(3)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def network(shape: list[Any], kind: int = TensorProto.FLOAT, opset: int = 18) -> onnx.ModelProto:
    """A graph that gives out what it gets."""
    put, out = (helper.make_tensor_value_info(name, kind, shape) for name in ("image", "seen"))
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["seen"])], "graph", [put], [out])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def seen(model: onnx.ModelProto, images: Any) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == "tensor(uint8)"
    return session.run(None, {"image": images})[0]


def test_values_are_scaled_and_normalised_in_the_networks_order() -> None:
    """Mean and deviation go with the channels as the network takes them."""
    images = DRAW.integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    for channels, layout in (("RGB", "NCHW"), ("BGR", "NCHW"), ("RGB", "NHWC"), ("BGR", "NHWC")):
        shape = ["n", 3, 5, 7] if layout == "NCHW" else ["n", 5, 7, 3]
        image = Image(5, 7, channels, layout, mean=MEAN, std=STD)
        ordered = images[..., ::-1] if channels == "BGR" else images
        wanted = (ordered / 255 - MEAN) / STD
        found = seen(with_preprocessing(network(shape), {"image": image}), images)
        assert found.dtype == np.float32
        assert np.abs(found - (wanted.transpose(0, 3, 1, 2) if layout == "NCHW" else wanted)).max() < 1e-6


def test_grey_images_have_one_channel_and_half_precision_is_kept() -> None:
    """What nobody asked for adds no node."""
    images = DRAW.integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)
    made = with_preprocessing(network([None, 1, 4, 4], TensorProto.FLOAT16), {"image": Image(4, 4, "GRAY", scale=1.0)})
    assert [node.op_type for node in made.graph.node] == ["Transpose", "Cast", "Cast", "Identity"]
    assert np.array_equal(seen(made, images), images.transpose(0, 3, 1, 2).astype(np.float16))


@pytest.mark.parametrize("size", [(40, 60), (97, 31), (12, 200), (9, 11)])
def test_linear_resizing_is_pillows_bilinear_within_one(size: tuple[int, int]) -> None:
    """Smaller, larger, and one of each: pixels that are dropped are averaged in."""
    made = with_preprocessing(network(["n", 3, 24, 32]), {"image": Image(24, 32, resize="linear", scale=1.0)})
    assert [axis.dim_value for axis in made.graph.input[0].type.tensor_type.shape.dim] == [0, 0, 0, 3]
    image = DRAW.integers(0, 256, (*size, 3), dtype=np.uint8)
    wanted = np.asarray(PIL.Image.fromarray(image).resize((32, 24), PIL.Image.Resampling.BILINEAR), np.float32)
    gaps = np.abs(seen(made, image[None])[0].transpose(1, 2, 0) - wanted)
    assert gaps.max() <= 1
    assert (gaps > 0).mean() < 0.2


def test_nearest_resizing_is_pillows_where_no_pixel_is_on_a_border() -> None:
    """Of 31 pixels none falls between two of 64."""
    made = with_preprocessing(network(["n", 3, 31, 31]), {"image": Image(31, 31, resize="nearest", scale=1.0)})
    image = DRAW.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    wanted = np.asarray(PIL.Image.fromarray(image).resize((31, 31), PIL.Image.Resampling.NEAREST), np.float32)
    inside = np.delete(np.arange(31), 15)  # the middle does
    found = seen(made, image[None])[0].transpose(1, 2, 0)
    assert np.array_equal(found[np.ix_(inside, inside)], wanted[np.ix_(inside, inside)])


def test_an_older_graph_is_raised_for_resizing_only() -> None:
    """Resize averages since opset 18."""
    old = network(["n", 3, 8, 8], opset=13)
    assert with_preprocessing(old, {"image": Image(8, 8)}).opset_import[0].version == 13
    made = with_preprocessing(old, {"image": Image(8, 8, resize="linear")})
    assert made.opset_import[0].version == 18
    assert seen(made, np.zeros((2, 20, 20, 3), np.uint8)).shape == (2, 3, 8, 8)
    assert old.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_declarations_come_from_json_and_go_back() -> None:
    """By the name of the input; one number stands for all channels."""
    image = Image(8, 8, "BGR", resize="linear", mean=(0.5,), std=(0.25,))
    assert from_json(
        '{"x": {"height": 8, "width": 8, "channels": "BGR", "resize": "linear", "mean": 0.5, "std": 0.25}}'
    ) == {"x": image}
    assert from_json(json.dumps({"x": image.to_json()})) == {"x": image}
    assert images_of({"x": image}) == {"x": image}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[]", "declares no images"),
        ('{"x": {"height": 8}}', r"declares no image \(column 'x'\)"),
        ('{"x": {"height": 8, "width": 8, "colour": 1}}', "expected height, width and any of"),
        ('{"x": {"height": 0, "width": 8}}', "an image's height is 0; expected pixels"),
        ('{"x": {"height": 8, "width": 8, "channels": "HSV"}}', r"channels is 'HSV'; expected one of \['RGB'"),
        ('{"x": {"height": 8, "width": 8, "resize": "cubic"}}', r"resize is 'cubic'; expected one of \[None, 'linear'"),
        ('{"x": {"height": 8, "width": 8, "mean": [1, 2]}}', r"mean is \[1, 2\]; expected one finite number, or 3"),
        ('{"x": {"height": 8, "width": 8, "std": [1, 0, 1]}}', "expected no 0"),
        ('{"x": {"height": 8, "width": 8, "scale": "1"}}', "scale is '1'; expected a finite number"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(text: str, said: str) -> None:
    """In one line, with what would be right."""
    with pytest.raises(InputError, match=said):
        from_json(text)


def test_an_input_that_is_no_such_image_is_refused() -> None:
    """Before anything is asked of the graph."""
    with pytest.raises(InputError, match=r"no such input \(column 'x'\); expected one of \['image'\]"):
        with_preprocessing(network(["n", 3, 8, 8]), {"x": Image(8, 8)})
    for shape, image in (
        (["n", 3, 8, 8], Image(8, 9)),
        (["n", 3, 8, 8], Image(8, 8, layout="NHWC")),
        (["n", 1, 8, 8], Image(8, 8)),
        (["n", 3, 8], Image(8, 8)),
    ):
        with pytest.raises(UnsupportedModelError, match="declare height, width, channels and layout as the network"):
            with_preprocessing(network(shape), {"image": image})
    with pytest.raises(UnsupportedModelError, match="is int64"):
        with_preprocessing(network(["n", 3, 8, 8], TensorProto.INT64), {"image": Image(8, 8)})
