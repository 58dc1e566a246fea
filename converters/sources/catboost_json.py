"""CatBoost's own JSON of a model, and the trees in it.

CatBoost writes decimals that keep every bit of a float32 border and a float64 leaf; the tests hold it to that.

Belongs here: the JSON, categories by their hashes, trees. Not here: links, files, asking the model (catboost.py).
Imported as edge_runtime.converters.sources.catboost_json.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OrdinalEncoder

from edge_runtime.errors import UnsupportedModelError

from ..exact.ensemble import Ensemble, Tree

__all__ = ["Category", "Json", "Trees", "exported"]

Floats = NDArray[np.float64]
Json = dict[str, Any]
PARTS = {"features_info", "model_info", "oblivious_trees", "scale_and_bias", "trees"}
FEATURES = {"cat_features_hash", "categorical_features", "float_features"}


@dataclass(frozen=True, slots=True)
class Category:
    """One category: its ``value`` as rows have it, and its ``text``, which is what CatBoost hashes."""

    value: Any
    text: str


def exported(estimator: Any, pool: Any) -> Json:
    """The model in CatBoost's JSON, where float32 borders and float64 leaves keep every bit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.json")
        estimator.save_model(str(path), format="json", pool=pool)
        made: Json = json.loads(path.read_bytes())
    return made


@dataclass(frozen=True, slots=True)
class _Split:
    """A condition as `Tree` has it; ``swapped`` where it holds on CatBoost's right side."""

    feature: int
    threshold: float = 0.0
    missing_left: bool = True
    members: Floats | None = None
    swapped: bool = False


class Trees:
    """A model's JSON. Features are numbered as columns are; with ``categories`` (by column) these come first, as the
    coder gives them out. Without, nobody asks which category a split means."""

    def __init__(self, model: Json, categories: dict[int, list[Category]] | None = None) -> None:
        self.model, self.categories = model, categories or {}
        features = model["features_info"]
        self.text = {f["feature_index"]: f for f in features.get("categorical_features", [])}
        self.numbers = {f["feature_index"]: f for f in features.get("float_features", [])}
        width = len(self.text) + len(self.numbers)
        self.others = [column for column in range(width) if column not in self.categories]
        self.place = {column: i for i, column in enumerate([*self.categories, *self.others])}
        hashes = {known["value"]: known["hash"] for known in features.get("cat_features_hash", [])}
        self.hashes = {i: np.array([hashes[c.text] for c in known]) for i, known in self.categories.items()}
        self.asked: set[int] = set()  # columns whose categories some split tells apart

    def loss(self) -> str:
        """The name of the loss. Raises UnsupportedModelError where the model has none."""
        info = self.model["model_info"]
        found = info.get("params", {}).get("loss_function")
        if found is None:  # a sum of models
            found = json.loads(info.get("loss_function", "{}"))
        if not found.get("type"):
            raise UnsupportedModelError("the model does not name its loss", advice="save it anew where it was trained")
        return str(found["type"])

    def ensemble(self) -> Ensemble:
        """Raises UnsupportedModelError for splits that are not read; LookupError, ValueError or TypeError where the
        model contradicts itself."""
        scale, bias = self.model["scale_and_bias"]
        if "oblivious_trees" in self.model:
            trees = [self.oblivious(tree, len(bias)) for tree in self.model["oblivious_trees"]]
        else:
            trees = [self.branching(tree, len(bias)) for tree in self.model["trees"]]
        if not trees:
            raise UnsupportedModelError("the model has no trees", advice="train it for one iteration at least")
        return Ensemble(tuple(replace(tree, value=tree.value * scale) for tree in trees), np.array(bias, np.float64))

    def check(self) -> None:
        """Raise ValueError, LookupError or TypeError unless every number that CatBoost would follow without looking
        leads where it should; UnsupportedModelError where there is more than what is read here."""
        if not (self.model.keys() <= PARTS and self.model["features_info"].keys() <= FEATURES):
            raise statistics_asked()
        numbers, text = list(self.numbers.values()), list(self.text.values())
        columns = sorted(feature["flat_feature_index"] for feature in [*numbers, *text])
        if list(self.numbers) != list(range(len(numbers))) or list(self.text) != list(range(len(text))):
            raise ValueError("its features are not numbered one by one")
        if columns != list(range(len(columns))):
            raise ValueError("its columns are not numbered one by one")
        if any(sorted(feature.get("borders", [])) != feature.get("borders", []) for feature in numbers):
            raise ValueError("borders are out of order")  # a number's place among them is what CatBoost compares
        # What a split_index counts: all borders, then all categories.
        known = [("float", i, border) for i, feature in enumerate(numbers) for border in feature.get("borders", [])]
        known += [("cat", i, value) for i, feature in enumerate(text) for value in feature.get("values", [])]
        for split in self.splits():
            kind, value = ("float", "border") if split["split_type"] == "FloatFeature" else ("cat", "value")
            index = split["split_index"]
            if index < 0 or known[index] != (kind, split[f"{kind}_feature_index"], split[value]):
                raise ValueError("a split is none of the listed ones")
        labels, count = self.model["model_info"].get("class_params"), max(2, self.ensemble().targets)
        if labels is not None and (
            len(labels["class_names"]) not in (0, count)
            or labels["class_to_label"] != list(range(count))
            or labels["classes_count"] not in (0, count)
        ):
            raise UnsupportedModelError(
                f"the trees' sums are of other classes than {labels['class_names']!r}",
                advice="train it on rows of every class",
            )
        self.loss()

    def splits(self) -> Iterator[Json]:
        for tree in self.model.get("oblivious_trees", []):
            yield from tree.get("splits") or []
        waiting = list(self.model.get("trees", []))
        while waiting:
            node = waiting.pop()
            if "split" in node:
                yield node["split"]
                waiting += [node["left"], node["right"]]

    def leaf_values(self) -> Floats:
        """All leaves' values as CatBoost has them in a row."""
        values: list[Any] = []
        for tree in self.model.get("oblivious_trees", []):
            values += tree["leaf_values"]
        waiting = self.model.get("trees", [])[::-1]
        while waiting:
            node = waiting.pop()
            if "split" in node:
                waiting += [node["right"], node["left"]]
            else:
                values += np.ravel(node["value"]).tolist()
        return np.array(values, np.float64)

    def coder(self, rows: Any) -> Any:
        """The transformer that gives categories numbers and puts them first, or None where there are no categories."""
        if not self.categories:
            return None
        # Of a column that no split looks at, one category stands for all.
        kept = [[c.value for c in (known if i in self.asked else known[:1])] for i, known in self.categories.items()]
        codes = OrdinalEncoder(categories=kept, handle_unknown="use_encoded_value", unknown_value=-1)
        parts = [("categories", codes, list(self.categories)), ("numbers", "passthrough", self.others)]
        return ColumnTransformer(parts).fit(rows[:1])

    def oblivious(self, tree: Json, targets: int) -> Tree:
        """A tree with one condition per level, written out: nodes level by level, the first condition at the root."""
        splits = [self.split(split) for split in tree.get("splits") or []]
        depth = len(splits)
        values = np.array(tree["leaf_values"], np.float64)
        if len(values) != 2**depth * targets:
            raise ValueError(f"a tree of {depth} levels has {len(values)} leaves")
        number = np.arange(2 ** (depth + 1) - 1)
        level = np.frexp(number + 1.0)[1] - 1
        inner = number < 2**depth - 1
        level[~inner] = depth
        leaf = number[~inner] - (2**depth - 1)  # the first condition is its highest bit; in CatBoost, the lowest
        theirs = sum((leaf >> (depth - 1 - k) & 1) << k for k in range(depth)) + np.zeros_like(leaf)
        value = np.zeros((len(number), targets))
        value[~inner] = values.reshape(2**depth, targets)[theirs]
        left = np.where(inner, 2 * number + 1, -1)
        right = np.where(inner, 2 * number + 2, -1)
        return _tree([splits[k] if k < depth else None for k in level.tolist()], left, right, value)

    def branching(self, root: Json, targets: int) -> Tree:
        """A tree of nodes; those that wait are visited last in, first out, since trees may be deep."""
        splits: list[_Split | None] = []
        left: list[int] = []
        right: list[int] = []
        value: list[Floats] = []
        waiting: list[tuple[Json, list[int], int]] = [(root, [0], 0)]
        while waiting:
            node, side, parent = waiting.pop()
            here = len(splits)
            side[parent] = here
            left.append(-1)
            right.append(-1)
            if "split" in node:
                splits.append(self.split(node["split"]))
                value.append(np.zeros(targets))
                waiting += [(node["right"], right, here), (node["left"], left, here)]
            else:
                splits.append(None)
                value.append(np.array(node["value"], np.float64).reshape(targets))
        return _tree(splits, np.array(left, np.int64), np.array(right, np.int64), np.stack(value))

    def split(self, split: Json) -> _Split:
        kind = split["split_type"]
        if kind == "FloatFeature":
            feature = self.numbers[split["float_feature_index"]]
            missing_left = feature["nan_value_treatment"] != "AsTrue"
            return _Split(self.place[feature["flat_feature_index"]], float(split["border"]), missing_left)
        if kind == "OneHotFeature":
            feature = self.text[split["cat_feature_index"]]
            members = self.members(feature, split["value"])
            return _Split(self.place[feature["flat_feature_index"]], members=members, swapped=True)
        raise statistics_asked()

    def members(self, feature: Json, value: int) -> Floats:
        """The codes of the categories with this hash. Raises UnsupportedModelError where ``categories`` has none."""
        if not self.categories:
            return np.zeros(1)
        column = feature["flat_feature_index"]
        self.asked.add(column)
        found = np.flatnonzero(self.hashes[column] == value % 2**32)
        if not len(found):
            raise UnsupportedModelError(
                f"column {feature['feature_id'] or f'x{column}'!r} had a category in training that is not in data",
                advice="pass data with all of them, as the training rows are: the model keeps their hashes only",
            )
        return found.astype(np.float64)


def _tree(splits: list[_Split | None], left: NDArray[np.int64], right: NDArray[np.int64], value: Floats) -> Tree:
    """Nodes with a split, or None at a leaf. What a member of a category's set takes is the left side here."""
    filled = [split or _Split(0) for split in splits]
    swapped = np.array([split.swapped for split in filled])
    return Tree(
        np.array([split.feature for split in filled], np.int64),
        np.array([split.threshold for split in filled], np.float64),
        np.where(swapped, right, left),
        np.where(swapped, left, right),
        np.array([split.missing_left for split in filled]),
        value,
        sets={i: split.members for i, split in enumerate(filled) if split.members is not None},
    )


def statistics_asked() -> UnsupportedModelError:
    return UnsupportedModelError(
        "the trees ask for statistics of categories or texts, not for a category itself",
        advice="train with one_hot_max_size of at least the number of categories (255 at most), or encode them before",
    )
