"""A person's consent over time: intervals for each purpose, from all of the person's customer records."""

from dataclasses import dataclass

from stedi.compute import Backend
from stedi.tables.consent import PURPOSES, consent_changes, consent_intervals, customer_records


@dataclass(frozen=True)
class Interval:
    """A span of time in which consent to a purpose was given.

    Attributes:
        from_ms: its start, included (ms since the epoch, UTC).
        to_ms: its end, excluded; None if the consent was not withdrawn.
    """

    from_ms: int
    to_ms: int | None


@dataclass(frozen=True)
class PurposeConsent:
    """A person's consent to one purpose.

    Attributes:
        purpose: research, public or friends.
        is_given: whether the newest records give consent, apart from a hold.
        contradictions: times at which records disagree. They give no consent.
        intervals: when consent was given, in order of time.
    """

    purpose: str
    is_given: bool
    contradictions: int
    intervals: tuple[Interval, ...]


@dataclass(frozen=True)
class Consent:
    """A person's consent over time.

    Attributes:
        records: number of the person's customer records.
        first_change_ms: time of the oldest record (ms since the epoch, UTC); None without records.
        last_change_ms: time of the newest record.
        purposes: the consent to each purpose.
    """

    records: int
    first_change_ms: int | None
    last_change_ms: int | None
    purposes: tuple[PurposeConsent, ...]


def read_consent(backend: Backend) -> Consent:
    """Derive the consent to all purposes, by the rules of `tables/consent.py`.

    Args:
        backend: has the relation `customer_landing` with the records of one person alone, in any order.

    Raises:
        WarehouseError: the records can't be read.
    """
    [summary] = backend.select(
        "SELECT count(*) AS records, min(changed_at) AS first_change_ms, max(changed_at) AS last_change_ms "
        f"FROM ({customer_records(*PURPOSES.values())}) AS records"
    )
    purposes = (_read_purpose(backend, purpose, field) for purpose, field in PURPOSES.items())
    return Consent(**summary, purposes=tuple(purposes))


def _read_purpose(backend: Backend, purpose: str, field: str) -> PurposeConsent:
    # Consent dates without consent are those of times at which another record has none.
    [changes] = backend.select(
        f"""
        WITH records AS ({customer_records(field)}), changes AS ({consent_changes(field)})
        SELECT coalesce(max_by(consents, changed_at), false) AS is_given,
            count(*) FILTER (WHERE NOT consents AND shared_as_of IS NOT NULL) AS contradictions
        FROM changes"""
    )
    rows = backend.select(f"SELECT * FROM ({consent_intervals(field)}) AS intervals ORDER BY consented_from_ms")
    intervals = (Interval(row["consented_from_ms"], row["consented_to_ms"]) for row in rows)
    return PurposeConsent(purpose, changes["is_given"], changes["contradictions"], tuple(intervals))
