"""Links of several models: what is refused in their JSON. What they compute is asked in test_ending.py."""

from __future__ import annotations

from typing import Any

import pytest

from edge_runtime.canonical import dumps, loads
from edge_runtime.errors import BundleError
from edge_runtime.links import Link, links_from_json

SHARE = Link("share", 1, 4.0)
SIGMOID = Link("sigmoid", 1, maps=((-2.0, 0.5),), parts=(SHARE,))
ISOTONIC = Link("isotonic", 1, maps=((0.25, 0.0, 0.75, 1.0),), parts=(SHARE,))
MEAN = Link("mean", 3, 1.5, parts=(SIGMOID, Link("mean", 2, parts=(ISOTONIC, SHARE))))


def nested(depth: int) -> Link:
    return SHARE if depth == 0 else Link("mean", 1, parts=(nested(depth - 1),))


def test_links_come_back_from_their_json() -> None:
    """Maps, weights and parts of parts included, up to the depth that is allowed."""
    for link in (SHARE, SIGMOID, ISOTONIC, MEAN, nested(8)):
        assert links_from_json(loads(dumps([link.to_json()]))) == (link,)


def data_of(link: Link, **changes: Any) -> Any:
    return link.to_json() | changes


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "a part of the ending must have the fields"),
        (data_of(SHARE, kind="each"), "the ending's part 'each' is not one of"),
        (data_of(SHARE, kind="anomaly"), "the ending's part 'anomaly' is not one of"),
        (data_of(SHARE, width=0), "a part of the ending wants one raw sum or more"),
        (data_of(SHARE, width=True), "field 'width' has the wrong type bool"),
        (data_of(SHARE, weight="0.0"), "the ending's weight is 0.0; expected a positive number"),
        (data_of(SHARE, weight="-1.0"), "the ending's weight is -1.0; expected a positive number"),
        (data_of(SHARE, scale="inf"), "the ending's scale is inf; expected a positive number"),
        (data_of(SHARE, maps=[["1.0", "0.0"]]), "the ending's part share has another number of maps than 1"),
        (data_of(SHARE, parts=[SHARE.to_json()]), "the ending's part share has another number of parts than 1"),
        (data_of(MEAN, parts=[]), "the ending's part mean has another number of parts than 0"),
        (data_of(MEAN, width=4), "the parts of an ending do not add up to its raw sums"),
        (data_of(SIGMOID, width=2, parts=[SHARE.to_json()] * 2), "sigmoid has another number of parts than 2"),
        (data_of(SIGMOID, maps=[]), "sigmoid has another number of maps than 0"),
        (data_of(SIGMOID, maps=["1.0"]), "must be lists of decimal strings"),
        (data_of(SIGMOID, maps=[[1.0, 2.0]]), "must be lists of decimal strings"),
        (data_of(SIGMOID, maps=[["1.0", "2"]]), "'2' is not a number in its shortest form"),
        (data_of(SIGMOID, maps=[["1.0"]]), "a map of the ending's part sigmoid does not have the numbers"),
        (data_of(SIGMOID, maps=[["1.0", "inf"]]), "a map of the ending's part sigmoid does not have the numbers"),
        (data_of(SIGMOID, kind="temperature"), "a map of the ending's part temperature does not have the numbers"),
        (data_of(ISOTONIC, maps=[[]]), "a map of the ending's part isotonic does not have the numbers"),
        (data_of(ISOTONIC, maps=[["0.0", "0.5", "1.0"]]), "part isotonic does not have the numbers"),
        (data_of(ISOTONIC, maps=[["0.0", "0.0", "0.0", "1.0"]]), "part isotonic does not have the numbers"),
        (data_of(ISOTONIC, maps=[["1.0", "0.0", "0.5", "1.0"]]), "part isotonic does not have the numbers"),
        (data_of(ISOTONIC, maps=[["0.0", "0.0", "5e-324", "1.0"]]), "part isotonic does not have the numbers"),
        (data_of(nested(9)), "the parts of an ending are nested more than 8 deep"),
    ],
)
def test_malformed_links_are_refused(data: Any, says: str) -> None:
    """Each with what is wrong, in one line."""
    with pytest.raises(BundleError, match=says) as caught:
        links_from_json([data])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("link", "counts"),
    [
        (Link("identity", 3), {3}),
        (Link("exp", 1), {1}),
        (Link("logistic", 1), {2}),
        (Link("softmax", 3), {3}),
        (Link("share", 1), {1, 2}),
        (MEAN, {2}),
        (Link("sigmoid", 1, maps=((1.0, 0.0),), parts=(Link("identity", 1),)), {2}),
        (Link("sigmoid", 3, maps=((1.0, 0.0),) * 3, parts=(Link("softmax", 3),)), {3}),
        (Link("sigmoid", 3, maps=((1.0, 0.0),) * 2, parts=(Link("softmax", 3),)), set()),
        (Link("temperature", 3, maps=((1.0,),), parts=(Link("softmax", 3),)), {3}),
        (Link("mean", 2, parts=(Link("exp", 1), Link("logistic", 1))), set()),
    ],
)
def test_a_link_knows_how_many_numbers_it_gives(link: Link, counts: set[int]) -> None:
    """No other number of classes or predictions goes with it."""
    assert {count for count in range(1, 6) if link.gives(count)} == counts
