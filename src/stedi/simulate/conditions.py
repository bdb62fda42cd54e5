"""Conditions that make device owners hard to tell: clocks that disagree, shared homes, devices that change hands."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from stedi.errors import UsageError
from stedi.simulate.consent import DAY_MS

# Landing takes no time of more than a day after its file was written.
_MOST_ERROR_MS = DAY_MS


@dataclass(frozen=True)
class Conditions:
    """Errors of device clocks, losses, and who uses a device. With all figures zero, clocks agree to the ms.

    Shares are from 0 to 1, of the devices or people that record anything. Phones' clocks are always right.

    Attributes:
        clock_offset_ms: largest constant offset between a device's clock and the phone's, drawn evenly from ± this (ms).
        clock_jitter_ms: largest random error of each device reading, drawn evenly from ± this (ms).
        clock_drift_ppm: largest drift since the device's first reading, drawn evenly from ± this (parts in a million).
        whole_seconds: share of devices that cut their times to whole seconds.
        clock_resets: share of devices whose clock is reset once: offset and drift start again, with another offset.
        lost: share of readings that are lost, of phones and of devices, independently.
        shared_homes: share of people who live in pairs; both own a device and record at the same times.
        hand_overs: share of devices that another customer, who owned none, uses from some moment on.
        without_phone: share of device owners whose phone app never reports.
    """

    clock_offset_ms: int = 0
    clock_jitter_ms: int = 0
    clock_drift_ppm: float = 0
    whole_seconds: float = 0
    clock_resets: float = 0
    lost: float = 0
    shared_homes: float = 0
    hand_overs: float = 0
    without_phone: float = 0

    def check(self, days: int) -> None:
        """Refuse figures that can't be simulated.

        Args:
            days: how many days are recorded.

        Raises:
            UsageError: a figure is out of range, clocks would be off by more than a day, or a reset would change nothing.
        """
        limits = {"clock_offset_ms": _MOST_ERROR_MS, "clock_jitter_ms": _MOST_ERROR_MS, "clock_drift_ppm": 1e6}
        for field in fields(self):
            most, figure = limits.get(field.name, 1), getattr(self, field.name)
            if not 0 <= figure <= most:
                raise UsageError(f"{field.name} is from 0 to {most:,.0f}; this is {figure}")
        error_ms = self.clock_offset_ms + self.clock_jitter_ms + self.clock_drift_ppm * days * DAY_MS / 1e6
        if error_ms > _MOST_ERROR_MS:
            raise UsageError(
                f"clocks could be off by {error_ms / DAY_MS:,.1f} days, and landing accepts times of up to a day after "
                "arrival; ask for less offset, jitter or drift, or fewer days"
            )
        if self.clock_resets and not self.clock_offset_ms and not self.clock_drift_ppm:
            raise UsageError("clock_resets changes nothing without clock_offset_ms or clock_drift_ppm; give one of them")


IDEAL = Conditions()


def draw_share(rng: np.random.Generator, count: int, share: float) -> NDArray[np.bool_]:
    """Flags of which this share is true, to the nearest whole number, drawn evenly."""
    drawn: NDArray[np.bool_] = rng.permutation(count) < round(share * count)
    return drawn
