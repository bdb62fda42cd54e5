"""Simulate the clocks of devices: the times that they write, and the ground truth about their errors."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stedi.simulate.draws import Flags, Floats, Integers, draw_share
from stedi.simulate.motion import SAMPLE_MS, SESSION_MS
from stedi.simulate.options import SimulationOptions
from stedi.simulate.people import People
from stedi.simulate.sessions import NEVER, Sessions


@dataclass(frozen=True)
class Clocks:
    """The clocks of all devices that record. Arrays have one value per device.

    Attributes:
        device: numbers of the devices, in ascending order.
        first_ms: time just before the device's first reading (phone clock, ms since the epoch, UTC).
        reset_ms: time of the clock's reset, or `NEVER` (phone clock, ms since the epoch, UTC).
        offset_ms: constant error until the reset.
        offset_after_reset_ms: constant error from the reset on.
        drift_ppm: drift since `first_ms` or the reset (parts per million).
        whole_seconds: whether the device truncates times to whole seconds.
        jitter_ms: maximum random error of each reading.
    """

    device: Integers
    first_ms: Integers
    reset_ms: Integers
    offset_ms: Integers
    offset_after_reset_ms: Integers
    drift_ppm: Floats
    whole_seconds: Flags
    jitter_ms: int

    def stamp(self, rng: np.random.Generator, device: Integers, phone_ms: Integers) -> Integers:
        """Compute the times that devices write for their readings (ms since the epoch, UTC), sessions × readings.

        Args:
            rng: source of the jitter.
            device: number of the device of each session.
            phone_ms: times of the readings on the phone clock (ms since the epoch, UTC), sessions × readings.
        """
        clock = np.searchsorted(self.device, device)[:, None]
        jitter = rng.integers(-self.jitter_ms, self.jitter_ms, phone_ms.shape, endpoint=True)
        times = phone_ms + np.rint(self.error_ms(clock, phone_ms)).astype(np.int64) + jitter
        unit = np.where(self.whole_seconds[clock], 1000, 1)
        stamped: Integers = times - times % unit
        return stamped

    def error_ms(self, clock: Integers, phone_ms: Integers) -> Floats:
        """Compute how many ms clocks are ahead of the phone clock, without jitter.

        Args:
            clock: indices into the arrays of this object.
            phone_ms: times on the phone clock (ms since the epoch, UTC).
        """
        reset_ms = self.reset_ms[clock]
        is_reset = phone_ms >= reset_ms
        offset = np.where(is_reset, self.offset_after_reset_ms[clock], self.offset_ms[clock])
        running_ms = phone_ms - np.where(is_reset, reset_ms, self.first_ms[clock])
        return offset + self.drift_ppm[clock] * running_ms / 1e6


def make_clocks(rng: np.random.Generator, sessions: Sessions, options: SimulationOptions) -> Clocks:
    """Draw the clocks of all devices that record. Options only scale the draws, so other options give the same draws."""
    device, first = np.unique(sessions.device, return_index=True)
    _, from_end = np.unique(sessions.device[::-1], return_index=True)
    first_ms = sessions.start_ms[first] - SAMPLE_MS // 2
    end_ms = sessions.start_ms[::-1][from_end] + SESSION_MS
    count = len(device)
    offset, offset_after_reset, drift, reset = rng.random((4, count))
    width = 2 * options.clock_offset_ms + 1
    reset_ms = first_ms + 1 + (reset * (end_ms - first_ms - 1)).astype(np.int64)
    return Clocks(
        device,
        first_ms,
        np.where(draw_share(rng, count, options.clock_resets), reset_ms, NEVER),
        (offset * width).astype(np.int64) - options.clock_offset_ms,
        (offset_after_reset * width).astype(np.int64) - options.clock_offset_ms,
        (2 * drift - 1) * options.clock_drift_ppm,
        draw_share(rng, count, options.whole_seconds),
        options.clock_jitter_ms,
    )


def device_periods(people: People, sessions: Sessions, clocks: Clocks) -> pa.Table:
    """Ground truth about each device that records: one row per period with one user and one setting of its clock.

    `from_ms` is included. `to_ms` is excluded, and null in a device's last period. Both are times of the phone clock.
    A device's time is phone time + offset_ms + drift_ppm × (phone time − from_ms) / 1,000,000, rounded to whole ms,
    plus jitter of at most jitter_ms, then truncated to whole seconds if `whole_seconds` is true. `phone_reports` is
    false if the user's phone app never sends readings. `lives_with` is the person who lives in the same home and records
    at the same times.
    """
    hand_overs = sessions.hand_overs
    resets = np.flatnonzero(clocks.reset_ms < NEVER)
    starts = np.column_stack(
        [
            np.concatenate([np.arange(len(clocks.device)), resets, np.searchsorted(clocks.device, hand_overs.device)]),
            np.concatenate([clocks.first_ms, clocks.reset_ms[resets], hand_overs.at_ms]),
        ]
    )
    clock, from_ms = np.unique(starts, axis=0).T
    is_last = np.diff(clock, append=-1) != 0

    user = hand_overs.user(people.owners, clocks.device[clock], from_ms)
    neighbour = sessions.neighbour[user]
    return pa.table(
        {
            "serialNumber": people.serials.take(pa.array(clocks.device[clock])),
            "user": people.users.take(pa.array(user)),
            "from_ms": from_ms,
            "to_ms": pa.array(np.roll(from_ms, -1), mask=is_last),
            "offset_ms": clocks.error_ms(clock, from_ms),
            "drift_ppm": clocks.drift_ppm[clock],
            "jitter_ms": np.full(len(clock), clocks.jitter_ms),
            "whole_seconds": clocks.whole_seconds[clock],
            "phone_reports": sessions.reports[user],
            "lives_with": people.users.take(pa.array(neighbour, mask=neighbour < 0)),
        }
    )
