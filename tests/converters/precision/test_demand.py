"""A demand that makes no sense is refused before anything is done."""

from __future__ import annotations

from typing import Any

import pytest

from edge_runtime.converters.precision.demand import Demand
from edge_runtime.errors import InputError

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"max_drop": "0.5%"}, "max_drop is '0.5%'; expected a number: 0.005 is half a percent"),
    "nothing": ({"max_drop": None}, "max_drop is None; expected a number"),
    "yes": ({"max_drop": True}, "max_drop is True; expected a number"),
    "all": ({"max_drop": 1}, "max_drop is 1; expected 0 or more and less than 1"),
    "gain": ({"max_drop": -0.1}, "max_drop is -0.1; expected 0 or more"),
    "NaN": ({"max_drop": float("nan")}, "max_drop is nan; expected 0 or more"),
    "a number required": ({"require": 3}, "3 is no limit; expected one such as size<=1MB"),
    "numbers required": ({"require": [3]}, "3 is no limit"),
    "a metric": ({"metric": 5}, "metric 5; expected one of agreement"),
    "an objective": ({"objective": "speed"}, "objective 'speed'; expected one of latency, size, memory"),
}


@pytest.mark.parametrize(("given", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_demand_is_refused(given: dict[str, Any], says: str) -> None:
    """As unusable data are, in one line."""
    asked: dict[str, Any] = {"metric": None, "max_drop": 0.0, "objective": "latency", "require": None}
    with pytest.raises(InputError, match=says):
        Demand.of(**asked | given)


def test_the_smaller_of_two_bounds_on_the_loss_holds() -> None:
    """A limit on the drop asks for a search by itself."""
    found = Demand.of(metric=None, max_drop=0.02, objective="size", require="drop<=1%")
    assert found.max_drop == 0.01
    assert Demand.of(metric=None, max_drop=0, objective="size", require="drop<=1%").searched
