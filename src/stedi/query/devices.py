"""Devices and their owners: counts by status, and the evidence for one device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stedi.compute.duckdb.query import QuerySession
from stedi.model.identity import SHORT_PSEUDONYM_DIGITS, customer_pseudonym
from stedi.query.device_text import DAY_MS, HOUR_MS

STATUSES = ("confirmed", "claimed", "inferred", "ambiguous", "unknown")

# Widths of a slot. With the widest one, 60 slots cover the 60 years from 2000, the earliest valid time.
_SLOT_WIDTHS_MS = (HOUR_MS, DAY_MS, 7 * DAY_MS, 28 * DAY_MS, 364 * DAY_MS)
# More bars are hard to distinguish in a picture, and more lines do not fit on a terminal's screen.
_MAX_SLOTS = 60
_MAX_CANDIDATES = 5


@dataclass(frozen=True)
class StatusCounts:
    """Devices of one status, or of all, in `device_owner`.

    A device with several periods counts in the status of each.

    Attributes:
        status: the status, or "all".
        devices: number of devices.
        periods: number of periods.
        readings: number of reading times.
        lowest_confidence: lowest confidence of the periods with a candidate.
        median_confidence: median confidence of these periods.
        clock_off: devices whose clock offset exceeds its uncertainty.
        changed_hands: devices with two owners or more.
    """

    status: str
    devices: int
    periods: int
    readings: int
    lowest_confidence: float | None
    median_confidence: float | None
    clock_off: int
    changed_hands: int


@dataclass(frozen=True)
class SoleClaims:
    """How often the only claimant of a device is its owner, according to reading times.

    Attributes:
        confidence: only periods with at least this confidence count.
        devices: number of devices with one claimant and such a period.
        periods: number of these periods.
        agree: number of these periods whose owner is the claimant.
    """

    confidence: float
    devices: int
    periods: int
    agree: int

    @property
    def share(self) -> float | None:
        """Share of the periods whose owner is the claimant, or None without periods."""
        return self.agree / self.periods if self.periods else None


@dataclass(frozen=True)
class Summary:
    """Devices by status, and how often sole claims are right."""

    statuses: tuple[StatusCounts, ...]
    sole_claims: SoleClaims


@dataclass(frozen=True)
class Period:
    """A period of a device: the columns of `device_owner`. The owner is a shortened pseudonym."""

    period: int
    from_ms: int | None
    to_ms: int | None
    owner: str | None
    status: str
    confidence: float | None
    claimants: int
    reading_times: int
    coincidences: int
    compared_times: int
    runner_up_coincidences: int
    offset_ms: float | None
    offset_uncertainty_ms: float | None


@dataclass(frozen=True)
class Candidate:
    """A customer whose phone's reading times coincide with the device's.

    Attributes:
        candidate: shortened pseudonym of the customer.
        hours: hours with evidence.
        coincidences: reading times that coincide, in all hours.
        compared_times: reading times that were compared, in all hours.
        lowest_offset_ms: lower bound of the clock offsets of all hours.
        highest_offset_ms: upper bound of the clock offsets of all hours.
    """

    candidate: str
    hours: int
    coincidences: int
    compared_times: int
    lowest_offset_ms: float | None
    highest_offset_ms: float | None


@dataclass(frozen=True)
class Slot:
    """A span of time in which the device has readings.

    Attributes:
        from_ms: its start in ms since the epoch, on the device's clock.
        reading_times: number of reading times.
        compared_times: reading times that were compared with phones.
        first_coincidences: those that coincide with the first candidate's phone.
        second_coincidences: those that coincide with the second candidate's phone.
    """

    from_ms: int
    reading_times: int
    compared_times: int
    first_coincidences: int
    second_coincidences: int

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of the compared reading times that coincide with the first and with the second candidate."""
        compared = max(self.compared_times, 1)
        return self.first_coincidences / compared, self.second_coincidences / compared


@dataclass(frozen=True)
class Explanation:
    """The evidence for the owners of a device.

    Attributes:
        serial: serial number of the device.
        claimants: customers who claim the device.
        periods: periods of the device, in order of time.
        candidates: at most five, those with most coincidences first.
        slot_ms: width of a slot in ms.
        slots: at most 60, in order of time.
    """

    serial: str
    claimants: int
    periods: tuple[Period, ...]
    candidates: tuple[Candidate, ...]
    slot_ms: int
    slots: tuple[Slot, ...]

    @property
    def empty_reason(self) -> str | None:
        """Why there are no coincidences to show, as a sentence; None if there are some."""
        if not self.slots:
            return "The device has no readings, so none can coincide with a phone's."
        if not self.candidates:
            readings = sum(slot.reading_times for slot in self.slots)
            return f"None of the device's {readings:,} reading times coincides with a phone's."
        return None


_PERSON = f"left({customer_pseudonym('person')}, {SHORT_PSEUDONYM_DIGITS})"

_SUMMARY = """
-- Devices with two owners or more.
WITH changed_hands AS (
    SELECT serialNumber FROM device_owner GROUP BY serialNumber HAVING min(person) <> max(person)
),
periods AS (
    SELECT *, abs(offset_ms) > offset_uncertainty_ms AS is_off, serialNumber IN (FROM changed_hands) AS has_changed_hands
    FROM device_owner
),
-- Periods with sufficient confidence, of devices with one claimant. Claims without an e-mail address do not count,
-- because no owner can match them.
sole_claims AS (
    SELECT serialNumber, status FROM device_owner
    WHERE claimants = 1 AND confidence >= $owners_confidence
        AND serialNumber IN (SELECT device FROM customer_landing WHERE person IS NOT NULL)
)
SELECT
    ARRAY(
        SELECT {
            status: coalesce(status, 'all'),
            devices: count(DISTINCT serialNumber),
            periods: count(*),
            readings: coalesce(sum(reading_times), 0)::BIGINT,
            lowest_confidence: min(confidence),
            median_confidence: round(median(confidence), 6),
            clock_off: count(DISTINCT serialNumber) FILTER (WHERE is_off),
            changed_hands: count(DISTINCT serialNumber) FILTER (WHERE has_changed_hands)
        }
        FROM periods GROUP BY GROUPING SETS ((status), ())
    ) AS statuses,
    (
        SELECT {
            devices: count(DISTINCT serialNumber),
            periods: count(*),
            agree: count(*) FILTER (WHERE status = 'confirmed')
        }
        FROM sole_claims
    ) AS sole_claims
"""

_EXPLANATION = f"""
WITH evidence AS MATERIALIZED (
    SELECT hour_ms, place, person, reading_times, compared_times, coincidences, offset_ms, offset_uncertainty_ms
    FROM device_evidence WHERE serialNumber = $serial
),
-- Candidates with the sums of all hours, numbered by coincidences in descending order.
candidates AS MATERIALIZED (
    SELECT person, count(*) AS hours,
        sum(coincidences)::BIGINT AS coincidences, sum(compared_times)::BIGINT AS compared_times,
        min(offset_ms - offset_uncertainty_ms) AS lowest_offset_ms,
        max(offset_ms + offset_uncertainty_ms) AS highest_offset_ms,
        row_number() OVER (ORDER BY sum(coincidences) DESC, count(*) DESC, person) AS number
    FROM evidence WHERE place > 0 GROUP BY person
),
-- Coincidences of the first two candidates by hour.
hours AS MATERIALIZED (
    SELECT e.hour_ms, max(e.reading_times) AS reading_times, max(e.compared_times) AS compared_times,
        coalesce(max(e.coincidences) FILTER (WHERE c.number = 1), 0) AS first_coincidences,
        coalesce(max(e.coincidences) FILTER (WHERE c.number = 2), 0) AS second_coincidences
    FROM evidence AS e LEFT JOIN candidates AS c ON c.person = e.person GROUP BY e.hour_ms
),
-- The smallest width that gives at most {_MAX_SLOTS} slots with readings.
slot AS MATERIALIZED (
    SELECT coalesce(min(ms), {_SLOT_WIDTHS_MS[-1]}) AS ms FROM (
        SELECT w.ms, count(DISTINCT h.hour_ms // w.ms) AS slots
        FROM (VALUES {", ".join(f"({ms})" for ms in _SLOT_WIDTHS_MS)}) AS w(ms) LEFT JOIN hours AS h ON true GROUP BY w.ms
    ) WHERE slots <= {_MAX_SLOTS}
)
SELECT
    ARRAY(
        SELECT {{
            period: period, from_ms: from_ms, to_ms: to_ms, owner: {_PERSON}, status: status, confidence: confidence,
            claimants: claimants, reading_times: reading_times, coincidences: coincidences, compared_times: compared_times,
            runner_up_coincidences: runner_up_coincidences, offset_ms: offset_ms,
            offset_uncertainty_ms: offset_uncertainty_ms
        }}
        FROM device_owner WHERE serialNumber = $serial ORDER BY period
    ) AS periods,
    ARRAY(
        SELECT {{
            candidate: {_PERSON}, hours: hours, coincidences: coincidences, compared_times: compared_times,
            lowest_offset_ms: lowest_offset_ms, highest_offset_ms: highest_offset_ms
        }}
        FROM candidates WHERE number <= {_MAX_CANDIDATES} ORDER BY number
    ) AS candidates,
    (SELECT ms FROM slot) AS slot_ms,
    ARRAY(
        SELECT {{
            from_ms: hour_ms // ms * ms, reading_times: sum(reading_times)::BIGINT,
            compared_times: sum(compared_times)::BIGINT, first_coincidences: sum(first_coincidences)::BIGINT,
            second_coincidences: sum(second_coincidences)::BIGINT
        }}
        FROM hours, slot GROUP BY hour_ms // ms, ms ORDER BY hour_ms // ms
    ) AS slots
"""


def summarise(session: QuerySession, confidence: float) -> Summary:
    """Count devices by status, and how often sole claims are right.

    Args:
        session: query session on the tables of a finished run.
        confidence: the setting `owners.confidence` of that run.

    Raises:
        QueryError: the tables can't be read.
    """
    row = _query_one_row(session, _SUMMARY, {"owners_confidence": confidence})
    by_status = {counts["status"]: StatusCounts(**counts) for counts in row["statuses"]}
    statuses = tuple(by_status.get(name, StatusCounts(name, 0, 0, 0, None, None, 0, 0)) for name in (*STATUSES, "all"))
    return Summary(statuses, SoleClaims(confidence, **row["sole_claims"]))


def explain(session: QuerySession, serial: str, keys: Mapping[str, bytes]) -> Explanation | None:
    """Collect the evidence for the owners of one device.

    Args:
        session: query session on the tables of a finished run.
        serial: the serial number, normalised by `identity.identity_of`. It is passed as a query parameter.
        keys: the padded keys of the pseudonyms (`identity.padded_keys`).

    Returns:
        The evidence, or None if `device_owner` has no such device.

    Raises:
        QueryError: the tables can't be read.
    """
    row = _query_one_row(session, _EXPLANATION, {"serial": serial, **keys})
    if not row["periods"]:
        return None
    periods = tuple(Period(**period) for period in row["periods"])
    return Explanation(
        serial,
        max(period.claimants for period in periods),
        periods,
        tuple(Candidate(**candidate) for candidate in row["candidates"]),
        row["slot_ms"],
        tuple(Slot(**slot) for slot in row["slots"]),
    )


def _query_one_row(session: QuerySession, sql: str, parameters: Mapping[str, object]) -> dict[str, Any]:
    """Run a query with one row. Return the row by column name."""
    result = session.run(sql, parameters)
    [row] = result.rows()
    return dict(zip(result.columns, row, strict=True))
