"""Where a phone was carried: feeds don't say, a file may."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stedi.steps.data.stretches import Stretch


@dataclass(frozen=True)
class Stay:
    """A time in which a phone was in one position: from, to (ms since the epoch), and the position's name."""

    from_ms: float
    to_ms: float
    position: str


# By pseudonym, each person's in order.
Positions = Mapping[str, Sequence[Stay]]


def position_of(stretch: Stretch, positions: Positions) -> str | None:
    """The position in which the phone was for more than half of a stretch; None where none is known to be."""
    spent: dict[str, float] = defaultdict(float)
    for stay in positions.get(stretch.person, ()):
        spent[stay.position] += max(0, min(stay.to_ms, stretch.end_ms) - max(stay.from_ms, stretch.start_ms))
    most = max(spent, key=spent.__getitem__, default=None)
    return most if most is not None and 2 * spent[most] > stretch.end_ms - stretch.start_ms else None
