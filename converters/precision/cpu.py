"""Which instructions for 8-bit integers this machine has, and which combinations of types are worth trying here.

Belongs here: reading the machine, and the rule. Not here: measuring (search.py), whether something saturates
(saturating.py).
Imported as edge_runtime.converters.precision.cpu.
"""

from __future__ import annotations

import platform
from typing import NamedTuple

__all__ = ["Combination", "InstructionSet", "combinations", "instruction_set"]

CPUINFO = "/proc/cpuinfo"
X86, ARM = ("x86_64", "amd64"), ("aarch64", "arm64")


class InstructionSet(NamedTuple):
    """``architecture`` as the platform calls it ("x86_64"), and the widest instructions for integers that it has:
    "avx512 vnni", "avx vnni", "avx512", "avx2", "sse", "arm i8mm", "arm dotprod", "arm neon" or "unknown"."""

    architecture: str
    integers: str

    @property
    def saturates(self) -> bool:
        """Products of u8 and s8 are added in 16 bits, two by two, or may be for all that is known."""
        return not (self.integers.endswith("vnni") or self.integers.startswith("arm"))


class Combination(NamedTuple):
    """Integer types of a static Q/DQ graph: "uint8" or "int8". ``reduce_range``: weights take 7 bits."""

    activation: str
    weight: str
    per_channel: bool
    reduce_range: bool

    @property
    def name(self) -> str:
        letters = {"uint8": "U8", "int8": "S8"}
        parts = [letters[self.activation] + letters[self.weight]]
        parts += ["7 bits"] * self.reduce_range + ["per channel"] * self.per_channel
        return " ".join(parts)


def instruction_set(cpuinfo: str = CPUINFO) -> InstructionSet:
    """This machine's. Where there is no ``cpuinfo`` (macOS, Windows) the instructions are "unknown", except that any
    64-bit ARM has Neon."""
    machine = platform.machine()
    architecture = machine.lower()
    flags: set[str] = set()
    try:
        with open(cpuinfo, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() in ("flags", "Features"):
                    flags = set(value.split())
                    break
    except OSError:
        pass
    if architecture in X86 and flags:
        return InstructionSet(machine, widest(flags))
    if architecture in ARM:
        return InstructionSet(
            machine, "arm i8mm" if "i8mm" in flags else "arm dotprod" if "asimddp" in flags else "arm neon"
        )
    return InstructionSet(machine, "unknown")


def widest(flags: set[str]) -> str:
    for flag, name in (
        ("avx512_vnni", "avx512 vnni"), ("avx_vnni", "avx vnni"), ("avx512bw", "avx512"), ("avx2", "avx2"),
    ):  # fmt: skip
        if flag in flags:
            return name
    return "sse"


def combinations(here: InstructionSet) -> tuple[Combination, ...]:
    """What to try on ``here``, the likeliest first. U8U8 is exact everywhere; U8S8 needs 7 bits where sums of 16 bits
    saturate; ARM multiplies signed by signed."""
    u8u8 = Combination("uint8", "uint8", per_channel=False, reduce_range=False)
    u8s8 = Combination("uint8", "int8", per_channel=True, reduce_range=here.saturates)
    s8s8 = Combination("int8", "int8", per_channel=True, reduce_range=False)
    if here.integers.startswith("arm"):
        return s8s8, u8s8
    if here.saturates:
        return u8s8, u8u8
    return u8s8, s8s8, u8u8
