"""LightGBM's text form of a model, read strictly.

It is the exact form: thresholds and leaves have 17 digits, where the JSON dump cuts an infinite threshold to 1e300.
LightGBM's own parser reads beyond its buffers when numbers do not fit each other; here each is checked, so that what
passes can be given to that parser as well.

Belongs here: from text to trees in LightGBM's meaning. Not here: its Python objects, files, endings (lightgbm.py).
Imported as edge_runtime.converters.sources.lightgbm_text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import UnsupportedModelError

from ..exact.ensemble import Tree

__all__ = ["Text", "read_text"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Scalar = TypeVar("Scalar", bound=np.generic)
CATEGORICAL, DEFAULT_LEFT = 1, 2  # bits of decision_type; above them the kind of missing value:
NONE, ZERO, NAN = 0, 1, 2
MOST_KEYS = 22  # lines of a tree that LightGBM reads
HEAD = "its head"
WORD = 32  # categories per number of a set
INTEGER = r"-?\d{1,18}"
NUMBER = r"-?(?:\d+(?:\.\d+)?(?:e[+-]\d+)?|inf|nan)"
LISTS = {
    name: re.compile(rf"(?:{one})(?: (?:{one}))*", re.ASCII) for name, one in (("int", INTEGER), ("float", NUMBER))
}
# Nobody asks for these, but LightGBM ends the process where one is no number.
UNUSED = {
    "split_gain": ("float", -1), "internal_value": ("float", -1), "internal_weight": ("float", -1),
    "internal_count": ("int", -1), "leaf_weight": ("float", 0), "leaf_count": ("int", 0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """``objective`` is its name and its options as written ("" = custom); ``trees`` go round the ``targets``; their
    sum is divided by the number of ``iterations`` where ``averaged``. ``kinds`` says per feature what the column held:
    "number", "category", or "nothing" where training could not use it."""

    objective: str
    options: dict[str, str]
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    trees: tuple[Tree, ...]
    targets: int
    averaged: bool
    zero_missing: frozenset[int]
    truncated: frozenset[int]

    @property
    def iterations(self) -> int:
        return len(self.trees) // self.targets


class _Malformed(Exception):
    pass


def read_text(text: str) -> Text:
    """Raises UnsupportedModelError for text that is not a whole model, and for trees with linear leaves."""
    try:
        return _read(text)
    except _Malformed as error:
        raise UnsupportedModelError(
            f"this is no whole LightGBM model ({error})", advice="save it again with Booster.save_model"
        ) from None


def _read(text: str) -> Text:
    lines = text.split("\n")
    starts = [i for i, line in enumerate(lines) if line.startswith("Tree=")]
    try:
        end = lines.index("end of trees")
    except ValueError:
        raise _Malformed("the line 'end of trees' is missing") from None
    header = _pairs(lines[: starts[0] if starts else end], HEAD)
    width = _integer(header, "max_feature_idx", 0) + 1
    names = tuple(_value(header, "feature_names", HEAD).split(" "))
    kinds = tuple(_kind(info) for info in _value(header, "feature_infos", HEAD).split(" "))
    if len(names) != width or len(kinds) != width:
        raise _Malformed(f"{width} features, but {len(names)} names and {len(kinds)} ranges")
    objective, *words = header.get("objective", "").split(" ")
    options = {name: value for name, _, value in (word.partition(":") for word in words)}
    targets = _targets(header, objective, options)
    if not starts or len(starts) % targets:
        raise _Malformed(f"{len(starts)} trees for {targets} outputs")
    _check_sizes(header, lines, starts, end)
    nodes = [
        _Nodes(_pairs(_block(lines, start, stop), f"tree {i}"), i, width)
        for i, (start, stop) in enumerate(zip(starts, [*starts[1:], end], strict=True))
    ]
    zero, truncated = _kinds_of_splits(nodes)
    return Text(
        objective, options, names, kinds, tuple(tree.tree(i % targets) for i, tree in enumerate(nodes)), targets,
        "average_output" in header, zero, truncated,
    )  # fmt: skip


def _pairs(lines: list[str], where: str) -> dict[str, str]:
    """Lines of key=value, each key once."""
    made: dict[str, str] = {}
    for line in lines:
        if not line:
            continue
        key, _, value = line.partition("=")
        if key in made:
            raise _Malformed(f"{where} has {key!r} twice")
        made[key] = value
    return made


def _block(lines: list[str], start: int, stop: int) -> list[str]:
    """The lines of one tree, without its heading; a blank line ends them."""
    block = lines[start + 1 : stop]
    length = block.index("") if "" in block else len(block)
    if length == len(block) or length >= MOST_KEYS or any(block[length:]) or not all("=" in v for v in block[:length]):
        raise _Malformed(f"line {start + 1} begins no tree")
    return block[:length]


def _check_sizes(header: dict[str, str], lines: list[str], starts: list[int], end: int) -> None:
    """LightGBM jumps from tree to tree by these sizes, unchecked."""
    if "tree_sizes" not in header:
        return
    sizes = [
        sum(len(line.encode()) + 1 for line in lines[start:stop])
        for start, stop in zip(starts, [*starts[1:], end], strict=True)
    ]
    if header["tree_sizes"] != " ".join(map(str, sizes)):
        raise _Malformed("the trees are not as long as tree_sizes says")


def _targets(header: dict[str, str], objective: str, options: dict[str, str]) -> int:
    targets = _integer(header, "num_tree_per_iteration", 1)
    several = objective in ("multiclass", "multiclassova")
    told = {_integer(header, "num_class", 1), _integer(options, "num_class", 1) if several else targets}
    if told != {targets} or (objective and not several and targets > 1):
        raise _Malformed(f"{targets} trees per iteration do not go with its classes")
    return targets


def _kind(info: str) -> str:
    return "nothing" if info == "none" else "number" if info.startswith("[") else "category"


def _kinds_of_splits(trees: list[_Nodes]) -> tuple[frozenset[int], frozenset[int]]:
    """Features whose zero is missing, and features whose fraction is cut off."""
    feature = np.concatenate([tree.feature for tree in trees])
    categorical = np.concatenate([tree.categorical for tree in trees])
    zero = np.concatenate([tree.missing == ZERO for tree in trees]) & ~categorical
    for some, what in ((zero, "zero is missing"), (categorical, "values are categories")):
        both = set(feature[some].tolist()) & set(feature[~some].tolist())
        if both:
            raise UnsupportedModelError(
                f"feature {min(both)}: {what} in some trees only", advice="train the trees with the same parameters"
            )
    return frozenset(feature[zero].tolist()), frozenset(feature[categorical].tolist())


class _Nodes:
    """The arrays of one tree, over its inner nodes; leaves come behind them."""

    def __init__(self, given: dict[str, str], number: int, width: int) -> None:
        self.given, self.where = given, f"tree {number}"
        self.leaves = _integer(given, "num_leaves", 1, self.where)
        self.inner = self.leaves - 1
        if _integer(given, "is_linear", 0, self.where) if "is_linear" in given else 0:
            raise UnsupportedModelError(
                "the leaves are linear models (linear_tree)", advice="train with linear_tree=False"
            )
        self.value = self.floats("leaf_value", self.leaves)
        self.feature = self.integers("split_feature", self.inner)
        self.threshold = self.floats("threshold", self.inner)
        decision = self.integers("decision_type", self.inner)
        self.categorical = (decision & CATEGORICAL) > 0
        self.default_left = (decision & DEFAULT_LEFT) > 0
        self.missing = decision >> 2
        self.left, self.right = self.children()
        for key, (kind, more) in UNUSED.items():
            if given.get(key):  # a tree of one leaf has them empty
                self.items(key, kind, self.leaves + more)
        if "shrinkage" in given:
            self.items("shrinkage", "float", 1)
        if ((self.feature < 0) | (self.feature >= width)).any() or ((decision < 0) | (self.missing > NAN)).any():
            raise _Malformed(f"{self.where} has a split on a feature or of a kind that there is not")
        if np.isnan(self.threshold).any():
            raise _Malformed(f"{self.where} has a threshold that is no number")
        if not np.isfinite(self.value).all():
            raise UnsupportedModelError(
                f"{self.where} has an infinite leaf", advice="train with a smaller learning_rate or more data per leaf"
            )

    def tree(self, target: int) -> Tree:
        default = np.where(self.missing == NONE, self.threshold >= 0.0, self.default_left)  # NONE: NaN counts as zero
        return Tree(
            self.whole(self.feature), self.whole(self.threshold), self.whole(self.left, -1), self.whole(self.right, -1),
            self.whole(default & ~self.categorical), np.append(np.zeros(self.inner), self.value)[:, None], target,
            self.sets(),
        )  # fmt: skip

    def whole(self, values: NDArray[Scalar], leaf: int = 0) -> NDArray[Scalar]:
        """Over all nodes: what leaves get, where they have nothing of their own."""
        return np.concatenate([values, np.full(self.leaves, leaf, values.dtype)])

    def children(self) -> tuple[Integers, Integers]:
        """By number of node. Each but the root is a child once, behind its parent: so it is a tree."""
        parent = np.arange(self.inner)
        sides = [self.integers(name, self.inner) for name in ("left_child", "right_child")]
        sides = [np.where(side >= 0, side, self.inner + ~side) for side in sides]
        wanted = np.arange(1, self.inner + self.leaves)
        if any((side <= parent).any() for side in sides) or not np.array_equal(np.sort(np.concatenate(sides)), wanted):
            raise _Malformed(f"{self.where} has nodes that do not form a tree")
        return sides[0], sides[1]

    def sets(self) -> dict[int, Floats]:
        """The categories that go left, by node."""
        count = _integer(self.given, "num_cat", 0, self.where)
        if not self.categorical.any():
            return {}
        bounds = self.integers("cat_boundaries", count + 1)
        if bounds[0] != 0 or (np.diff(bounds) < 0).any():
            raise _Malformed(f"{self.where} has sets of categories that overlap")
        words = self.integers("cat_threshold", int(bounds[-1]))
        if ((words < 0) | (words >= 2**WORD)).any():
            raise _Malformed(f"{self.where} has a set of categories that is none")
        made = {}
        for node in np.flatnonzero(self.categorical).tolist():
            place = self.threshold[node]
            if not (0 <= place < count and place == int(place)):
                raise _Malformed(f"{self.where} has no set of categories {place}")
            own = words[bounds[int(place)] : bounds[int(place) + 1]].astype("<u4")
            made[node] = np.flatnonzero(np.unpackbits(own.view(np.uint8), bitorder="little")).astype(np.float64)
        return made

    def floats(self, key: str, count: int) -> Floats:
        return np.array([float(item) for item in self.items(key, "float", count)], np.float64)

    def integers(self, key: str, count: int) -> Integers:
        return np.array([int(item) for item in self.items(key, "int", count)], np.int64)

    def items(self, key: str, kind: str, count: int) -> list[str]:
        """The numbers as they are written, each as LightGBM writes them."""
        if not count:
            return []
        value = _value(self.given, key, self.where)
        if LISTS[kind].fullmatch(value) is None:
            raise _Malformed(f"{self.where} has {key!r} that are no numbers")
        items = value.split(" ")
        if len(items) != count:
            raise _Malformed(f"{self.where} has {len(items)} {key!r} instead of {count}")
        return items


def _value(given: dict[str, str], key: str, where: str) -> str:
    value = given.get(key)
    if value is None:
        raise _Malformed(f"{where} has no {key!r}")
    return value


def _integer(given: dict[str, str], key: str, least: int, where: str = HEAD) -> int:
    value = _value(given, key, where)
    if re.fullmatch(r"\d{1,10}", value, re.ASCII) is None or not least <= int(value) < 2**31:
        raise _Malformed(f"{where} has {key!r} that is no number from {least} on")
    return int(value)
