"""Options of the simulator with type, default, bounds and description, for Python and the command line.

This module imports no library, so that the command line can list the options quickly.
"""

import math
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, NamedTuple, get_type_hints

from stedi.errors import UsageError

DAY_MS = 86_400_000
# Ingest quarantines readings with a time more than a day after their file was written.
_MAX_CLOCK_ERROR_MS = DAY_MS
# 24 years. People register up to a year earlier, and no feed accepts times before 2000.
_MAX_DAYS = 9_000


class Description(NamedTuple):
    """Text and bounds of an option; the bounds are included."""

    text: str
    minimum: float = -math.inf
    maximum: float = math.inf


def _share(text: str) -> Description:
    return Description(text, 0, 1)


@dataclass(frozen=True)
class SimulationOptions:
    """What to simulate. The defaults are those of `stedi simulate`; `IDEAL` has no device errors.

    Shares are of the devices or people that record anything. The clocks of phones are always right.

    Raises:
        UsageError: an option is out of bounds, clocks could be off by more than a day, or a reset has no effect.
    """

    customers: Annotated[int, Description("number of people", 1)] = 300
    days: Annotated[int, Description("number of recorded days", 1, _MAX_DAYS)] = 3
    seed: Annotated[int, Description("random seed", 0)] = 1
    readings: Annotated[
        int | None,
        Description("approximate number of accelerometer readings (default: 30 per customer and day, at least 100,000)", 0),
    ] = None
    clean: Annotated[bool, Description("leave out the format defects")] = False
    clock_offset_ms: Annotated[
        int,
        Description(
            "maximum constant offset between a device clock and the phone, drawn evenly from ± this (ms)",
            0,
            _MAX_CLOCK_ERROR_MS,
        ),
    ] = 0
    clock_jitter_ms: Annotated[
        int,
        Description("maximum random error of each device reading, drawn evenly from ± this (ms)", 0, _MAX_CLOCK_ERROR_MS),
    ] = 0
    clock_drift_ppm: Annotated[
        float,
        Description(
            "maximum drift since the first reading of a device, drawn evenly from ± this (parts per million)", 0, 1_000_000
        ),
    ] = 0
    whole_seconds: Annotated[float, _share("share of devices that truncate times to whole seconds")] = 0
    clock_resets: Annotated[
        float, _share("share of devices whose clock is reset once, to another offset and with no drift so far")
    ] = 0
    lost: Annotated[float, _share("share of readings that are lost, independently for phones and devices")] = 0
    shared_homes: Annotated[
        float, _share("share of people who live in pairs, of whom both own a device and record at the same times")
    ] = 0.05
    hand_overs: Annotated[float, _share("share of devices handed over to a customer who had no device")] = 0.02
    without_phone: Annotated[float, _share("share of device owners whose phone app never sends readings")] = 0.02

    def __post_init__(self) -> None:
        """Check the bounds of each option and the total error of the clocks."""
        for option in describe_options():
            value = getattr(self, option.name)
            # NaN is out of all bounds.
            if value is not None and not option.minimum <= value <= option.maximum:
                raise UsageError(f"{option.name} must be {option.bounds}, not {value:,}")
        error_ms = self.clock_offset_ms + self.clock_jitter_ms + self.clock_drift_ppm * self.days * DAY_MS / 1e6
        if error_ms > _MAX_CLOCK_ERROR_MS:
            raise UsageError(
                f"clocks could be off by {error_ms / DAY_MS:,.1f} days; times of more than a day after arrival are "
                "quarantined: reduce offset, jitter, drift or days"
            )
        if self.clock_resets and not self.clock_offset_ms and not self.clock_drift_ppm:
            raise UsageError("clock_resets has no effect without clock_offset_ms or clock_drift_ppm; give one of them")


class Option(NamedTuple):
    """One field of `SimulationOptions`, for a command line or a form."""

    name: str
    type: Any
    default: Any
    description: str
    minimum: float
    maximum: float

    @property
    def bounds(self) -> str:
        """The bounds as text, such as "0 to 1" or "1 or more"; empty if there are none."""
        if self.maximum < math.inf:
            return f"{self.minimum:,.0f} to {self.maximum:,.0f}"
        return f"{self.minimum:,.0f} or more" if self.minimum > -math.inf else ""


@cache
def describe_options() -> tuple[Option, ...]:
    """List the options in the order of their declaration."""
    hints = get_type_hints(SimulationOptions, include_extras=True)
    return tuple(
        Option(field.name, hints[field.name].__origin__, field.default, *hints[field.name].__metadata__[0])
        for field in fields(SimulationOptions)
    )


# No device errors: exact clocks, no lost readings, no shared homes, no hand-overs, and a phone for everybody.
IDEAL = SimulationOptions(shared_homes=0, hand_overs=0, without_phone=0)
