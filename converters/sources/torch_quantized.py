"""Modules trained for quantization: their fake quantization as QuantizeLinear and DequantizeLinear.

torch.ao's eager and FX modes round tensors in the middle of float arithmetic, by operators that PyTorch's exporter does
not know. They are put into the graph as ONNX has them: weights as the integers that they were rounded to, batch
normalisation folded into the layer before it, as torch.ao's own conversion does.

Belongs here: the copy of a module that can be exported, and the one that answers for it. Not here: exporting
(torch_export.py).
Imported as edge_runtime.converters.sources.torch_quantized.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.ao.quantization import FakeQuantizeBase, ObserverBase

from edge_runtime.errors import UnsupportedModelError

__all__ = ["frozen", "is_quantized", "with_linear_nodes"]

OPSET = 18
ADVICE = "pass the module as prepare_qat or prepare_qat_fx left it, trained, before convert"


def is_quantized(module: torch.nn.Module) -> bool:
    """Whether it rounds as if it were quantized. Raises UnsupportedModelError for one that is, and for one whose ranges
    are still being observed only."""
    parts = list(module.modules())
    if any(
        type(part).__module__.startswith(("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")) for part in parts
    ):
        raise UnsupportedModelError("the module was converted to PyTorch's own integer operators", advice=ADVICE)
    found = any(isinstance(part, FakeQuantizeBase) for part in parts)
    inside = {id(each) for part in parts if isinstance(part, FakeQuantizeBase) for each in part.modules()}
    if any(isinstance(part, ObserverBase) and id(part) not in inside for part in parts):
        raise UnsupportedModelError("the module observes ranges, and rounds nothing yet", advice=ADVICE)
    return found


def frozen(module: torch.nn.Module) -> torch.nn.Module:
    """A copy whose ranges no longer move: otherwise each call would change the next answer."""
    try:
        made = copy.deepcopy(module)
    except Exception as error:  # a module of anybody's copies itself in its own way
        raise UnsupportedModelError("the module cannot be copied", advice="detach the tensors that it keeps") from error
    for part in made.modules():
        if isinstance(part, FakeQuantizeBase):
            part.disable_observer()
    return made.eval()


def with_linear_nodes(module: torch.nn.Module) -> torch.nn.Module:
    """Another copy of a `frozen` module, made of what ONNX has. Raises UnsupportedModelError for what has no such
    form."""
    made = copy.deepcopy(module)
    replace(made, {})
    return made


def replace(module: torch.nn.Module, replaced: dict[torch.nn.Module, torch.nn.Module]) -> None:
    for name, part in module._modules.items():  # by name: the same part may have several
        if part is None:
            continue
        if part not in replaced:
            replaced[part] = put(part)
            replace(replaced[part], replaced)
        module._modules[name] = replaced[part]


def put(part: torch.nn.Module) -> torch.nn.Module:
    if isinstance(part, FakeQuantizeBase):
        return Rounded(part)
    fake = getattr(part, "weight_fake_quant", None)
    if fake is None:
        return part
    if isinstance(part, (torch.nn.Embedding, torch.nn.EmbeddingBag)):
        raise UnsupportedModelError("an embedding is quantized", advice="leave its qconfig away: qconfig = None")
    if not hasattr(part, "bn"):
        part.weight_fake_quant = Stored(fake, part.weight.detach()) if is_on(fake) else torch.nn.Identity()
        return part
    folded = part.to_float()
    layer = folded[0] if isinstance(folded, torch.nn.Sequential) else folded
    layer = Weighted(layer, Stored(fake, layer.weight.detach())) if is_on(fake) else layer
    parts = [layer, *(list(folded)[1:] if isinstance(folded, torch.nn.Sequential) else [])]
    after = getattr(part, "activation_post_process", None)  # a hook of the part that is gone
    return torch.nn.Sequential(*parts, *([Rounded(after)] if after is not None else []))


def is_on(fake: Any) -> bool:
    return bool(fake.fake_quant_enabled[0])


class Scales(torch.nn.Module):  # type: ignore[misc]
    """Scale, zero point and integers of a fake quantization. Raises UnsupportedModelError for others than 8 bits."""

    def __init__(self, fake: Any) -> None:
        super().__init__()
        observer = getattr(fake, "activation_post_process", fake)
        self.low, self.high = int(observer.quant_min), int(observer.quant_max)
        if not (self.low >= -128 and self.high <= 127) and not (self.low >= 0 and self.high <= 255):
            raise UnsupportedModelError(
                f"a tensor is rounded to {self.low} … {self.high}", advice="train for 8 bits, which onnxruntime has"
            )
        if getattr(fake, "zero_point", torch.zeros(1)).dtype.is_floating_point:
            raise UnsupportedModelError("a zero point is no integer", advice="train with an affine or symmetric scheme")
        self.integer = torch.int8 if self.low < 0 else torch.uint8
        self.axis = int(fake.ch_axis) if fake.is_per_channel else None
        shape = (-1,) if fake.is_per_channel else ()
        self.register_buffer("scale", fake.scale.detach().clone().reshape(shape))
        self.register_buffer("zero", fake.zero_point.detach().to(self.integer).reshape(shape))

    @property
    def attributes(self) -> dict[str, int]:
        return {} if self.axis is None else {"axis": self.axis}

    def wide(self, values: torch.Tensor) -> torch.Tensor:
        """A tensor of integers as the floats that they stand for."""
        made: torch.Tensor = torch.onnx.ops.symbolic(
            "DequantizeLinear", (values, self.scale, self.zero), self.attributes,
            dtype=torch.float32, shape=values.shape, version=OPSET,
        )  # fmt: skip
        return made


class Rounded(Scales):
    """An activation that is rounded."""

    def __init__(self, fake: Any) -> None:
        super().__init__(fake)
        self.on = is_on(fake)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.on:
            return values
        made = torch.onnx.ops.symbolic(
            "QuantizeLinear", (values, self.scale, self.zero), self.attributes,
            dtype=self.integer, shape=values.shape, version=OPSET,
        )  # fmt: skip
        whole = torch.iinfo(self.integer)
        if (self.low, self.high) != (whole.min, whole.max):  # a reduced range: 7 bits, which no CPU saturates
            made = torch.clamp(made, self.low, self.high)
        return self.wide(made)


class Stored(Scales):
    """A weight, kept as the integers that it is rounded to."""

    def __init__(self, fake: Any, weight: torch.Tensor) -> None:
        super().__init__(fake)
        zero = fake.zero_point.detach()
        if self.axis is None:
            rounded = torch.fake_quantize_per_tensor_affine(weight, fake.scale, zero, self.low, self.high)
            along = [1] * weight.dim()
        else:
            rounded = torch.fake_quantize_per_channel_affine(weight, fake.scale, zero, self.axis, self.low, self.high)
            along = [-1 if axis == self.axis else 1 for axis in range(weight.dim())]
        whole = torch.round(rounded / self.scale.reshape(along)) + zero.reshape(along)
        self.register_buffer("whole", whole.to(self.integer))

    def forward(self, weight: torch.Tensor | None = None) -> torch.Tensor:
        return self.wide(self.whole)


class Weighted(torch.nn.Module):  # type: ignore[misc]
    """A layer with a stored weight."""

    def __init__(self, layer: Any, stored: Stored) -> None:
        super().__init__()
        self.layer, self.stored = layer, stored

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if isinstance(self.layer, torch.nn.Linear):
            made: torch.Tensor = torch.nn.functional.linear(values, self.stored(), self.layer.bias)
            return made
        made = self.layer._conv_forward(values, self.stored(), self.layer.bias)
        return made
