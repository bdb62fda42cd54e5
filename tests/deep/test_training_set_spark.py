"""Spark makes the training set bit for bit as the embedded engine does, and either goes on with it."""

from collections.abc import Callable

import pytest

from tests.support.compare import contents, found_wrong
from tests.support.lake import Lake, customer
from tests.support.spark import with_engine
from tests.support.training_set import SET, land, land_two_walks, walk

pytestmark = pytest.mark.usefixtures("spark")


def test_the_training_set_is_the_same_on_both_engines(new_lake: Callable[..., Lake]) -> None:
    ours, theirs = new_lake("embedded"), new_lake("spark")
    for lake in (ours, theirs):
        land_two_walks(lake)
        lake.run()
    ours.run(select=[SET])
    with_engine(theirs, "spark").run(select=[SET])
    made = contents(ours, [SET])
    assert made[SET]
    assert contents(theirs, [SET]) == made
    # One more walk, of a phone whose readings fall beside the grid, and one person less.
    for lake in (ours, theirs):
        land(lake, walk("bob", "s-bob", 200_003, step_every=300))
        lake.land("customer/2.json", [customer("ann@x", 20, serial="s-ann")])
        lake.run()
    more = contents(ours, [SET])
    assert 0 < len(more[SET]) < len(made[SET]) + 297
    assert contents(theirs, [SET]) == more
    assert found_wrong(with_engine(theirs, "embedded")) == []
