"""The preparation of images as part of the graph: bytes as a decoder gives them in, what the network takes out.

Declared, not traced: size, order of channels, scale, mean and deviation. What is resized is resized in bytes, as Pillow
does it: on 200 random sizes "linear" gave the bytes of its BILINEAR, 7 % of them 1 off, and "nearest" those of its
NEAREST but for the 1.4 % that lie on the border of two pixels. All else is float32: (value * scale - mean) / std, as
one multiplication and one addition, within 1e-6 of float64.

Belongs here: the declaration, its JSON, the nodes. Not here: whether the graph still answers alike (network_parity.py).
Imported as edge_runtime.converters.preprocessing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.errors import InputError, UnsupportedModelError

from .exact.graph import OPSETS
from .sources.graph_outputs import free, rename

__all__ = ["Image", "from_json", "images_of", "with_preprocessing"]

CHANNELS = {"RGB": 3, "BGR": 3, "GRAY": 1}
RESIZES: dict[str, dict[str, Any]] = {
    "linear": {"mode": "linear", "antialias": 1, "exclude_outside": 1, "coordinate_transformation_mode": "half_pixel"},
    "nearest": {
        "mode": "nearest", "nearest_mode": "round_prefer_ceil", "coordinate_transformation_mode": "half_pixel"
    },
}  # fmt: skip
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


@dataclass(frozen=True, slots=True)
class Image:
    """What a network wants of an image; the app gives uint8 [N, H, W, 3] in the order red, green, blue, or [N, H, W, 1]
    where ``channels`` is "GRAY".

    ``height`` and ``width`` are the network's; with ``resize`` ("linear" or "nearest") the app's H and W are free,
    without it they are these. ``channels`` and ``layout`` are as the network takes them. A value becomes
    (value * scale - mean) / std, with one ``mean`` and ``std`` for all channels, or one for each in the network's
    order.

    Raises InputError for a declaration that makes no sense.
    """

    height: int
    width: int
    channels: str = "RGB"
    layout: str = "NCHW"
    resize: str | None = None
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        allowed = {
            "channels": tuple(CHANNELS), "layout": ("NCHW", "NHWC"), "resize": (None, *RESIZES)
        }  # fmt: skip
        for name, choices in allowed.items():
            if getattr(self, name) not in choices:
                raise wrong(name, getattr(self, name), f"one of {list(choices)}")
        for name in ("height", "width"):
            if type(getattr(self, name)) is not int or not 0 < getattr(self, name) < 2**16:
                raise wrong(name, getattr(self, name), "pixels, 1 … 65,535")
        if not is_number(self.scale):
            raise wrong("scale", self.scale, "a finite number")
        for name in ("mean", "std"):
            given = getattr(self, name)
            values: Any = (given,) if is_number(given) else given
            if (
                not isinstance(values, (tuple, list))
                or not all(map(is_number, values))
                or len(values) not in (1, self.depth)
            ):
                raise wrong(name, given, f"one finite number, or {self.depth}")
            object.__setattr__(self, name, tuple(float(value) for value in values))
        if 0.0 in self.std:
            raise wrong("std", self.std, "no 0")

    @property
    def depth(self) -> int:
        return CHANNELS[self.channels]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}


def images_of(declared: Mapping[str, Any]) -> dict[str, Image]:
    """Declarations by the name of an input, each an Image or a dict of its fields. Raises InputError for others."""
    known = {field.name for field in fields(Image)}
    made = {}
    for name, given in declared.items():
        if isinstance(given, Image):
            made[str(name)] = given
            continue
        if not isinstance(given, Mapping) or not set(given) <= known or not {"height", "width"} <= set(given):
            raise InputError(
                f"{given!r} declares no image", column=str(name), expected=f"height, width and any of {sorted(known)}"
            )
        made[str(name)] = Image(**given)
    return made


def from_json(text: str) -> dict[str, Image]:
    """{"input": {"height": 224, "width": 224, "resize": "linear", …}}. Raises InputError for anything else."""
    try:
        declared = json.loads(text)
    except ValueError as error:
        raise InputError(f"no JSON ({error})", expected='{"input": {"height": 224, "width": 224, …}}') from error
    if not isinstance(declared, dict):
        raise InputError(f"{declared!r} declares no images", expected='{"input": {"height": 224, "width": 224, …}}')
    return images_of(declared)


def with_preprocessing(graph: onnx.ModelProto, images: Mapping[str, Image]) -> onnx.ModelProto:
    """A copy whose inputs of those names take bytes as `Image` says. Raises InputError for other names than the
    graph's, UnsupportedModelError for inputs that are no images of that size."""
    made = onnx.ModelProto()
    made.CopyFrom(graph)
    if any(image.resize for image in images.values()):
        made = raised(made)
    inputs = {value.name: value for value in made.graph.input}
    for name, image in images.items():
        if name not in inputs:
            raise InputError("no such input", column=name, expected=f"one of {sorted(inputs)}")
        check(inputs[name], image)
        prepend(made, inputs[name], image)
    del made.graph.value_info[:]  # of names that may be others' now; onnxruntime infers it all
    return made


def check(value: onnx.ValueInfoProto, image: Image) -> None:
    tensor = value.type.tensor_type
    found = [size.dim_value or None for size in tensor.shape.dim]
    sizes = {"N": None, "C": image.depth, "H": image.height, "W": image.width}
    wanted = [sizes[axis] for axis in image.layout]
    fits = len(found) == 4 and all(a is None or b is None or a == b for a, b in zip(found, wanted, strict=True))
    if tensor.elem_type not in FLOATS or not fits:
        kind = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        raise UnsupportedModelError(
            f"the input {value.name!r} is {kind}{found}, and the image makes {image.layout} {wanted} of floats",
            advice="declare height, width, channels and layout as the network takes them",
        )


def prepend(model: onnx.ModelProto, value: onnx.ValueInfoProto, image: Image) -> None:
    """Nodes in front of an input, which from now on takes bytes."""
    name, graph, kind = value.name, model.graph, value.type.tensor_type.elem_type
    batch = value.type.tensor_type.shape.dim[0]
    rows: Any = batch.dim_value or batch.dim_param or None
    rename(graph, name, inner := free(model, f"{name}_prepared"))
    nodes: list[onnx.NodeProto] = []
    at = name

    def then(operator: str, *constants: Any, **attributes: Any) -> None:
        nonlocal at
        given = [at]
        for each in constants:
            given.append("" if each is None else free(model, f"{name}_{operator.lower()}"))
            if each is not None:
                graph.initializer.append(numpy_helper.from_array(each, given[-1]))
        at = f"{inner}_{len(nodes)}"
        nodes.append(helper.make_node(operator, given, [at], name=at, **attributes))

    if image.resize:
        sizes = np.array([image.height, image.width], np.int64)
        then("Resize", None, None, sizes, axes=[1, 2], **RESIZES[image.resize])
    then("Transpose", perm=[0, 3, 1, 2])
    if image.channels == "BGR":
        then("Gather", np.array([2, 1, 0], np.int64), axis=1)
    then("Cast", to=TensorProto.FLOAT)
    std = np.array(image.std)
    factor, offset = image.scale / std, -np.array(image.mean) / std
    if (factor != 1.0).any():
        then("Mul", along_channels(factor))
    if (offset != 0.0).any():
        then("Add", along_channels(offset))
    if kind != TensorProto.FLOAT:
        then("Cast", to=kind)
    if image.layout == "NHWC":
        then("Transpose", perm=[0, 2, 3, 1])
    nodes[-1].output[0] = inner
    before = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *before])
    height, width = (None, None) if image.resize else (image.height, image.width)
    value.CopyFrom(helper.make_tensor_value_info(name, TensorProto.UINT8, [rows, height, width, image.depth]))


def along_channels(values: Any) -> Any:
    return np.asarray(values, np.float32).reshape(1, -1, 1, 1)


def raised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in an opset whose Resize averages what it drops."""
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), OPSETS[""])
    if opset >= OPSETS[""]:
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSETS[""])
    except RuntimeError as error:
        raise UnsupportedModelError(
            f"the graph has opset {opset}, and onnx cannot raise it for Resize", advice="export it for opset 18"
        ) from error


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def wrong(name: str, found: Any, expected: str) -> InputError:
    return InputError(f"an image's {name} is {found!r}", expected=expected)
