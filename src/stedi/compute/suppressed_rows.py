"""Find the rows of erased people, in landing files that are read and in landing tables that exist."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stedi.compute.backend import Backend, Ingested
from stedi.compute.counts import count_rows
from stedi.ingest.quarantine_screen import QuarantineScreen
from stedi.ingest.suppression import SuppressionList
from stedi.model.feed import Feed
from stedi.model.identity import keyed_digest
from stedi.model.sql import columns, literal, quoted
from stedi.tables.landing.quarantine import TABLE as QUARANTINE

# The text of a quarantined record that names an erased person, and other people whose consent it puts on hold.
REMOVED_TEXT = "(removed: the record named a person who was erased)"
_BATCH = 50_000


@dataclass(frozen=True)
class Screened:
    """The records of landing files without those of erased people.

    Attributes:
        landed: query for the landed rows.
        quarantined: query for the quarantined records.
        suppressed: landed and quarantined records that were left out, by file name.
    """

    landed: str
    quarantined: str
    suppressed: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def screen(backend: Backend, feed: Feed, ingested: Ingested, suppression: SuppressionList) -> Screened:
    """Leave out the records of erased people. The caller must call `release` afterwards.

    Costs nothing if nobody was erased. Otherwise each distinct person or device is looked up once, and the text of each
    quarantined record is searched.

    Args:
        backend: has the parameters of the list.
        feed: the feed.
        ingested: the feed's records.
        suppression: the suppression list.
    """
    landed, quarantined = f"SELECT * FROM {quoted(ingested.landed)}", f"SELECT * FROM {quoted(ingested.quarantined)}"
    if suppression.is_empty:
        return Screened(landed, quarantined)
    suppressed_landed: Counter[str] = Counter()
    condition = suppressed_rows(backend, feed, landed, suppression)
    if condition is not None:
        counts = f"SELECT source_file, count(*) AS n FROM ({landed}) AS r WHERE {condition} GROUP BY source_file"
        suppressed_landed.update({row["source_file"]: row["n"] for row in backend.select(counts)})
        landed = f"SELECT * FROM ({landed}) AS r WHERE NOT {condition}"
    quarantined, suppressed_quarantined = _screen_quarantined(backend, feed, quarantined, suppression)
    files = suppressed_landed.keys() | suppressed_quarantined.keys()
    return Screened(landed, quarantined, {name: (suppressed_landed[name], suppressed_quarantined[name]) for name in files})


def suppressed_rows(backend: Backend, feed: Feed, rows: str, suppression: SuppressionList) -> str | None:
    """Find the rows of a landing table whose person or device is suppressed. The caller must call `release` afterwards.

    Args:
        backend: has the parameters of the list.
        feed: the table's feed.
        rows: query for rows of the table, such as all rows of some files.
        suppression: the suppression list.

    Returns:
        A SQL condition over these rows, never null; None if there are no such rows for any time.
    """
    identity = next((name for name in ("person", "device") if name in feed.identifying), None)
    if suppression.is_empty or identity is None:
        return None
    tombstones, found = _tombstones(feed), _found(feed)
    if identity == "person":
        refusals = suppression.refusals
        bounds: tuple[str, ...] = ("until_ms",)
        backend.materialize_values(
            tombstones,
            [
                ("digest", "string", list(refusals)),
                ("until_ms", "long", [refusal.until_ms for refusal in refusals.values()]),
            ],
        )
    else:
        bounds = ("from_ms", "to_ms")
        devices = [device for stone in suppression.tombstones for device in stone.devices]
        backend.materialize_values(
            tombstones,
            [
                ("digest", "string", [device.device for device in devices]),
                ("from_ms", "long", [device.from_ms for device in devices]),
                ("to_ms", "long", [device.to_ms for device in devices]),
            ],
        )
    digest = keyed_digest(f"{literal(f'{identity}:')} || {identity}", "suppression")
    distinct = f"SELECT DISTINCT {identity} FROM ({rows}) AS r WHERE {identity} IS NOT NULL"
    digests = f"SELECT {identity}, {digest} AS digest FROM ({distinct}) AS q"
    selected = ", ".join(f"t.{name} AS refused_{name}" for name in bounds)
    backend.materialize(
        found,
        f"SELECT d.{identity} AS refused, {selected} "
        f"FROM ({digests}) AS d JOIN {quoted(tombstones)} AS t ON t.digest = d.digest",
    )
    if not count_rows(backend, f"SELECT * FROM {quoted(found)}"):
        return None
    times = [quoted(field.name) for field in feed.fields if field.kind == "milliseconds" and not field.lenient]
    if identity == "person":
        # A record with several times is from before the erasure if one of them is. `least` skips nulls.
        first = f"least({', '.join(times)})" if len(times) > 1 else times[0]
        is_refused = f"refused_until_ms IS NULL OR coalesce({first} <= refused_until_ms, true)"
    else:
        [time] = times
        is_refused = f"{time} >= coalesce(refused_from_ms, {time}) AND {time} < refused_to_ms"
    return f"EXISTS (SELECT 1 FROM {quoted(found)} WHERE refused = {identity} AND ({is_refused}))"


def refused_identities(backend: Backend, feed: Feed) -> list[dict[str, Any]]:
    """Return the suppressed people or devices that `suppressed_rows` found, in plain text.

    Returns:
        Rows with `refused` (the normalised address or serial number) and, for devices, `refused_from_ms` and
        `refused_to_ms`.
    """
    return backend.select(f"SELECT DISTINCT * FROM {quoted(_found(feed))} ORDER BY ALL")


def release(backend: Backend, feed: Feed) -> None:
    """Drop the relations of `screen` and `suppressed_rows`."""
    for relation in (_tombstones(feed), _found(feed), _stopped(feed)):
        backend.drop(relation)


def _tombstones(feed: Feed) -> str:
    return f"tombstones_{feed.name}"


def _found(feed: Feed) -> str:
    return f"refused_{feed.name}"


def _stopped(feed: Feed) -> str:
    return f"stopped_{feed.name}"


@dataclass(frozen=True)
class StoppedRecord:
    """A quarantined record about an erased person.

    Attributes:
        source_file: its file.
        position: its position in the file.
        text: its text.
        others: other people named in it, whose consent it puts on hold, one per line; None if there are none.
    """

    source_file: str
    position: int
    text: str
    others: str | None


def stopped_records(backend: Backend, quarantined: str, suppression: SuppressionList) -> list[StoppedRecord]:
    """Find the records about erased people among quarantined records (a query with the columns of `quarantine`)."""
    screen = QuarantineScreen(suppression)
    stopped: list[StoppedRecord] = []
    for row in _in_batches(backend, quarantined):
        people = tuple(row["people"].split("\n")) if row["people"] else ()
        outcome = screen.screen(row["raw_record"] or "", people, row["arrived_at_ms"])
        if outcome.is_stopped:
            others = "\n".join(outcome.others) or None
            stopped.append(StoppedRecord(row["source_file"], row["source_position"], row["raw_record"], others))
    return stopped


def redacted(quarantined: str, others: str) -> str:
    """Write the query for quarantined records without their text, which is about an erased person.

    Such a record is kept if it also puts the consent of other people on hold.

    Args:
        quarantined: query with the columns of `quarantine` and, if `others` needs them, further ones.
        others: SQL expression for the other people.
    """
    replaced = {"raw_record": literal(REMOVED_TEXT), "people": others}
    kept = ", ".join(f"{replaced.get(c.name, f'q.{quoted(c.name)}')} AS {quoted(c.name)}" for c in QUARANTINE.columns)
    return f"SELECT {kept} FROM ({quarantined}) AS q WHERE {others} IS NOT NULL"


def _screen_quarantined(
    backend: Backend, feed: Feed, quarantined: str, suppression: SuppressionList
) -> tuple[str, Counter[str]]:
    """Screen a feed's quarantined records; returns a query for those to store, and the number of others by file.

    A record that also puts the consent of other people on hold is stored without its text, so that the hold remains.
    """
    stopped = stopped_records(backend, quarantined, suppression)
    if not stopped:
        return quarantined, Counter()
    relation = quoted(_stopped(feed))
    backend.materialize_values(
        _stopped(feed),
        [
            ("name", "string", [record.source_file for record in stopped]),
            ("position", "long", [record.position for record in stopped]),
            ("others", "string", [record.others for record in stopped]),
        ],
    )
    is_stopped = "s.name = r.source_file AND s.position = r.source_position"
    kept = (
        f"SELECT {columns(QUARANTINE)} FROM ({quarantined}) AS r "
        f"WHERE NOT EXISTS (SELECT 1 FROM {relation} AS s WHERE {is_stopped})"
    )
    theirs = f"SELECT r.*, s.others FROM ({quarantined}) AS r JOIN {relation} AS s ON {is_stopped}"
    query = f"{kept} UNION ALL {redacted(theirs, 'others')}"
    return query, Counter(record.source_file for record in stopped if record.others is None)


def _in_batches(backend: Backend, quarantined: str) -> Iterator[dict[str, Any]]:
    """Read quarantined records in batches. Their texts may not fit into memory."""
    arrived_at_ms = "date_diff('millisecond', TIMESTAMPTZ '1970-01-01 00:00:00+00', arrived_at) AS arrived_at_ms"
    names = f"source_file, source_position, raw_record, people, {arrived_at_ms}"
    start = 0
    while rows := backend.select(
        f"SELECT {names} FROM ({quarantined}) AS q ORDER BY source_file, source_position LIMIT {_BATCH} OFFSET {start}"
    ):
        yield from rows
        start += len(rows)
