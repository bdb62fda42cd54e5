"""Phone positions, such as hand or pocket. They come from a file, because the feeds do not contain them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stedi.steps.data.stretches import Stretch


@dataclass(frozen=True)
class PositionSpan:
    """A span of time (ms since the epoch) in which a phone was in one position."""

    from_ms: float
    to_ms: float
    position: str


# Spans by pseudonym, each person's in the order of time.
Positions = Mapping[str, Sequence[PositionSpan]]


def position_of(stretch: Stretch, positions: Positions) -> str | None:
    """The phone's position in more than half of the stretch; None if no known position lasts that long."""
    duration_ms: dict[str, float] = defaultdict(float)
    for span in positions.get(stretch.person, ()):
        duration_ms[span.position] += max(0, min(span.to_ms, stretch.end_ms) - max(span.from_ms, stretch.start_ms))
    longest = max(duration_ms, key=duration_ms.__getitem__, default=None)
    return longest if longest is not None and 2 * duration_ms[longest] > stretch.end_ms - stretch.start_ms else None
