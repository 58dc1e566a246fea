"""Three splits: disjoint, of one draw, alike in their classes, and large enough or refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.datasets import load_digits

from edge_runtime.converters.precision.certifying import rows_needed
from edge_runtime.converters.precision.splitting import split, splits_needed
from edge_runtime.errors import InputError


@pytest.mark.parametrize("n", [25, 100, 1_797, 100_000])
def test_every_sample_is_in_one_split(n: int) -> None:
    """The largest of them certifies; a draw from another seed is another one."""
    splits = split(n, seed=1)
    parts = (splits.calibrate, splits.search, splits.certify)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    assert len(splits.certify) >= max(len(splits.search), len(splits.calibrate))
    assert 5 <= len(splits.calibrate) <= 300
    assert np.array_equal(split(n, seed=1).certify, splits.certify)
    assert not np.array_equal(split(n, seed=2).certify, splits.certify)


def test_classes_are_divided_in_proportion() -> None:
    """Of digits, each split has each of them within one of its share."""
    target = load_digits().target
    splits = split(len(target), target=target)
    for part in (splits.calibrate, splits.search, splits.certify):
        expected = np.bincount(target) * len(part) / len(target)
        assert np.abs(np.bincount(target[part], minlength=10) - expected).max() <= 2


def test_text_and_rare_classes_are_no_obstacle() -> None:
    """A class of one sample is in one split."""
    target = np.array(["a"] * 99 + ["b"], dtype=object)
    splits = split(100, target=target)
    assert len(splits.calibrate) + len(splits.search) + len(splits.certify) == 100


def test_groups_stay_together() -> None:
    """Rows that are ranked together are never in two splits."""
    groups = np.random.default_rng(0).integers(0, 60, 900)
    splits = split(900, groups=groups)
    seen = [set(groups[part].tolist()) for part in (splits.calibrate, splits.search, splits.certify)]
    assert seen[0].isdisjoint(seen[1] | seen[2])
    assert seen[1].isdisjoint(seen[2])
    assert sum(map(len, seen)) == len(set(groups.tolist()))


def test_copies_are_left_out_where_they_are_told() -> None:
    """The first of them is used."""
    keys = [b"one", b"two", b"one", b"two", b"one", *(f"{i}".encode() for i in range(50))]
    splits = split(55, keys=keys)
    used = np.concatenate([splits.calibrate, splits.search, splits.certify])
    assert sorted(used.tolist()) == [0, 1, *range(5, 55)]
    assert splits.sentence.endswith("; 3 copies left out")


@pytest.mark.parametrize("what", ["samples", "groups"])
def test_too_few_are_refused(what: str) -> None:
    """Before anything is done with them."""
    groups = np.arange(500) % 24 if what == "groups" else None
    with pytest.raises(InputError, match=f"24 {what} cannot be divided into three splits; expected 25 {what} or more"):
        split(500 if what == "groups" else 24, groups=groups)


@pytest.mark.parametrize(("max_drop", "tried"), [(0.005, 1), (0.005, 10), (0.1, 1), (0.0001, 3)])
def test_the_fewest_samples_are_just_enough(max_drop: float, tried: int) -> None:
    """One less is refused, with the number that would do."""
    needed = splits_needed(max_drop, tried=tried)
    assert len(split(needed).certify) >= rows_needed(max_drop, tried=tried)
    split(needed).check(max_drop, tried=tried)
    with pytest.raises(InputError, match=f"expected {needed:,} samples, or a larger max_drop"):
        split(needed - 1).check(max_drop, tried=tried)


def test_the_first_to_search_are_a_draw_whatever_order_the_data_are_in() -> None:
    """Of data sorted by class, 50 rows have every class; rows of one group stay neighbours."""
    target = np.repeat(np.arange(10), 100)
    assert set(target[split(1_000, target=target).search[:50]].tolist()) == set(range(10))
    groups = np.arange(1_000) % 50
    drawn = groups[split(1_000, groups=groups).search].tolist()
    assert sum(a != b for a, b in pairwise(drawn)) == len(set(drawn)) - 1
