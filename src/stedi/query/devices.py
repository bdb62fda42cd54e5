"""Why devices have the owners they have: counts by status, and the evidence for one device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stedi.compute.duckdb.query import QuerySession
from stedi.model.identity import customer_pseudonym

STATUSES = ("confirmed", "claimed", "inferred", "ambiguous", "unknown")

HOUR_MS = 3_600_000
_DAY_MS = 24 * HOUR_MS
# Widths of a slot. The last one shows the 60 years after 2000, where times begin, in 60 slots.
_SLOTS_MS = (HOUR_MS, _DAY_MS, 7 * _DAY_MS, 28 * _DAY_MS, 364 * _DAY_MS)
# More bars are hard to tell apart in a picture, and no longer fit on a screen of a terminal.
_MOST_SLOTS = 60
_MOST_CANDIDATES = 5
# As many digits as the examples of rules have.
_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class StatusCounts:
    """The devices of one status, or of all (`status` is then "all"), in `device_owner`.

    A device with several periods counts in the status of each. Confidences are those of periods with a candidate. A
    clock is off if its offset exceeds the offset's uncertainty. A device changed hands if it has two owners or more.
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
    """How often the only claimant of a device is its owner, where reading times decide with that `confidence`."""

    confidence: float
    devices: int
    periods: int
    agree: int

    @property
    def share(self) -> float | None:
        """Share of the periods in which reading times agree with the claim; None without such periods."""
        return self.agree / self.periods if self.periods else None


@dataclass(frozen=True)
class Summary:
    """All devices by status."""

    statuses: tuple[StatusCounts, ...]
    sole_claims: SoleClaims


@dataclass(frozen=True)
class Period:
    """A period of a device, as `device_owner` has it; the owner is the start of the customer's pseudonym."""

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
    """A customer whose phone coincides with the device, with the evidence of all hours added up.

    The candidate is the start of the customer's pseudonym. The offsets of all hours lie between the lowest and the highest.
    """

    candidate: str
    hours: int
    coincidences: int
    compared_times: int
    lowest_offset_ms: float | None
    highest_offset_ms: float | None


@dataclass(frozen=True)
class Slot:
    """A span of time with readings of the device: how many of them coincide with the first two candidates."""

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
    """Why a device has its owner: periods, candidates with most coincidences first, and slots of `slot_ms`."""

    serial: str
    claimants: int
    periods: tuple[Period, ...]
    candidates: tuple[Candidate, ...]
    slot_ms: int
    slots: tuple[Slot, ...]


_PERSON = f"left({customer_pseudonym('person')}, {_SHOWN_DIGITS})"

_SUMMARY = """
WITH changed_hands AS (
    SELECT serialNumber FROM device_owner GROUP BY serialNumber HAVING min(person) <> max(person)
),
periods AS (
    SELECT *, abs(offset_ms) > offset_uncertainty_ms AS is_off, serialNumber IN (FROM changed_hands) AS has_changed_hands
    FROM device_owner
),
-- A claim without an e-mail address names nobody who could be the owner.
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
candidates AS MATERIALIZED (
    SELECT person, count(*) AS hours,
        sum(coincidences)::BIGINT AS coincidences, sum(compared_times)::BIGINT AS compared_times,
        min(offset_ms - offset_uncertainty_ms) AS lowest_offset_ms,
        max(offset_ms + offset_uncertainty_ms) AS highest_offset_ms,
        row_number() OVER (ORDER BY sum(coincidences) DESC, count(*) DESC, person) AS number
    FROM evidence WHERE place > 0 GROUP BY person
),
hours AS MATERIALIZED (
    SELECT e.hour_ms, max(e.reading_times) AS reading_times, max(e.compared_times) AS compared_times,
        coalesce(max(e.coincidences) FILTER (WHERE c.number = 1), 0) AS first_coincidences,
        coalesce(max(e.coincidences) FILTER (WHERE c.number = 2), 0) AS second_coincidences
    FROM evidence AS e LEFT JOIN candidates AS c ON c.person = e.person GROUP BY e.hour_ms
),
slot AS MATERIALIZED (
    SELECT coalesce(min(ms), {_SLOTS_MS[-1]}) AS ms FROM (
        SELECT w.ms, count(DISTINCT h.hour_ms // w.ms) AS slots
        FROM (VALUES {", ".join(f"({ms})" for ms in _SLOTS_MS)}) AS w(ms) LEFT JOIN hours AS h ON true GROUP BY w.ms
    ) WHERE slots <= {_MOST_SLOTS}
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
        FROM candidates WHERE number <= {_MOST_CANDIDATES} ORDER BY number
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
        session: the tables.
        confidence: the confidence from which reading times decide: the run's `owners.confidence`.

    Raises:
        QueryError: the tables can't be read.
    """
    found = _one_row(session, _SUMMARY, {"owners_confidence": confidence})
    counted = {row["status"]: StatusCounts(**row) for row in found["statuses"]}
    statuses = tuple(counted.get(name, StatusCounts(name, 0, 0, 0, None, None, 0, 0)) for name in (*STATUSES, "all"))
    return Summary(statuses, SoleClaims(confidence, **found["sole_claims"]))


def explain(session: QuerySession, serial: str, keys: Mapping[str, bytes]) -> Explanation | None:
    """Collect the evidence for the owners of one device.

    Args:
        session: the tables.
        serial: the serial number as `identity.device_of` has it; may hold anything.
        keys: the padded keys of the pseudonyms (`identity.padded_keys`).

    Returns:
        The evidence; None where `device_owner` has no such device.

    Raises:
        QueryError: the tables can't be read.
    """
    found = _one_row(session, _EXPLANATION, {"serial": serial, **keys})
    if not found["periods"]:
        return None
    periods = tuple(Period(**row) for row in found["periods"])
    return Explanation(
        serial,
        max(period.claimants for period in periods),
        periods,
        tuple(Candidate(**row) for row in found["candidates"]),
        found["slot_ms"],
        tuple(Slot(**row) for row in found["slots"]),
    )


def _one_row(session: QuerySession, sql: str, parameters: Mapping[str, object]) -> dict[str, Any]:
    result = session.run(sql, parameters)
    [row] = result.rows()
    return dict(zip(result.columns, row, strict=True))
