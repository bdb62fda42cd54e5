"""Find erased people's rows in every table and snapshot, and their records in landing files and quarantine."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stedi.catalog import Catalog
from stedi.catalog.history import data_files_of_all_snapshots
from stedi.compute import Backend
from stedi.compute.row_split import Removal
from stedi.compute.suppressed_rows import redacted, refused_identities, release, stopped_records, suppressed_rows
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.suppression import DevicePeriod, SuppressionList
from stedi.model.data_files import DataFiles
from stedi.model.feed import Feed
from stedi.model.sql import literal, literals, quoted
from stedi.model.table import Table
from stedi.privacy.whose_rows import DEVICES, PEOPLE, row_match, search_devices, search_people
from stedi.tables.landing import quarantine
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.operations import rule_result
from stedi.tables.reference import device_evidence, device_owner
from stedi.tables.reference.device_evidence import HOUR_MS
from stedi.tables.registry import ALL

# The relation with the quarantined records about the people, and the other people named in each.
RAW_RECORDS = "searched_raw_records"
# What identifies such a record in all snapshots, and the columns of the relation.
_RECORD = ("source_file", "source_position", "raw_record")
_COLUMNS = ("in_file", "at_position", "text")
# The people's devices, with names that no column of a table has: a subquery's own columns would hide those of the table.
_RENAMED_DEVICES = (
    "(SELECT serial AS erased_serial, pseudonym AS erased_pseudonym, from_ms AS erased_from_ms, to_ms AS erased_to_ms "
    f"FROM {DEVICES})"
)


@dataclass(frozen=True)
class People:
    """People to erase: normalised addresses, and the devices that are theirs with normalised serial numbers."""

    addresses: tuple[str, ...] = ()
    devices: tuple[DevicePeriod, ...] = ()

    def __or__(self, other: "People") -> "People":
        """Return the people of both."""
        return People(
            tuple(sorted({*self.addresses, *other.addresses})), tuple(dict.fromkeys((*self.devices, *other.devices)))
        )


@dataclass(frozen=True)
class Search:
    """How to find people's rows in a table, and what remains of them.

    Attributes:
        removal: which rows are theirs.
        column: text column whose bounds tell which files can't have such rows; None if no column does.
        values: their values in that column.
    """

    removal: Removal
    column: str | None = None
    values: tuple[str, ...] = ()


def quarantined_records() -> Removal:
    """Return which quarantined records are about the people. Needs `search`."""
    condition = " AND ".join(f"t.{column} = {name}" for column, name in zip(_COLUMNS, _RECORD, strict=True))
    return Removal(f"EXISTS (SELECT 1 FROM {RAW_RECORDS} AS t WHERE {condition})", without_text)


def without_text(theirs: str) -> str:
    """SQL query for what remains of quarantined records about the people: those that put others on hold, without text."""
    condition = " AND ".join(f"t.{column} = r.{name}" for column, name in zip(_COLUMNS, _RECORD, strict=True))
    joined = f"SELECT r.*, t.others FROM ({theirs}) AS r JOIN {RAW_RECORDS} AS t ON {condition}"
    return redacted(joined, "others")


def derived_searches(people: People) -> Iterator[tuple[Table, Search]]:
    """Yield how to find the people's rows in each table but the landing tables. Needs `search`.

    Finds more than `whose_rows.row_match`: also rows about their devices that name somebody else, because the owner was not
    known yet.
    """
    landing = {feed.table.name for feed in FEEDS}
    for table in ALL:
        match = row_match(table)
        if table is quarantine.TABLE:
            yield table, Search(quarantined_records())
        elif table is rule_result.TABLE and match is not None:
            yield table, Search(Removal(match.condition, _without_examples))
        elif match is not None and table.name not in landing:
            if device := _device_condition(table):
                condition = f"({match.condition} OR EXISTS (SELECT 1 FROM {_RENAMED_DEVICES} AS d WHERE {device}))"
                yield table, Search(Removal(condition))
            else:
                values = people.addresses if match.by == "address" else ()
                yield table, Search(Removal(match.condition), match.column if values else None, values)


def _without_examples(theirs: str) -> str:
    names = [
        f"NULL::VARCHAR AS {quoted(name)}" if name == "examples" else quoted(name) for name in rule_result.TABLE.column_names
    ]
    return f"SELECT {', '.join(names)} FROM ({theirs}) AS e"


def _device_condition(table: Table) -> str | None:
    """SQL condition: a row of a derived table is about a device `d` in its period."""
    if table is device_owner.TABLE:
        return f"d.erased_serial = serialNumber AND {_overlaps('from_ms', 'to_ms')}"
    if table is device_evidence.TABLE:
        return f"d.erased_serial = serialNumber AND {_overlaps('hour_ms', f'hour_ms + {HOUR_MS}')}"
    if "device_pseudonym" in table.column_names:
        return f"d.erased_pseudonym = device_pseudonym AND {_overlaps('sensorReadingTime', 'sensorReadingTime + 1')}"
    if "serialNumber" in table.column_names and table.day is not None:
        return f"d.erased_serial = serialNumber AND {_overlaps(table.day, f'{table.day} + 1')}"
    return None


def _overlaps(start: str, end: str) -> str:
    """SQL condition: a span of time overlaps the period of device `d`. Null is an open end."""
    return f"coalesce({start} < d.erased_to_ms, true) AND coalesce({end} > d.erased_from_ms, true)"


def search(backend: Backend, catalog: Catalog, people: People, suppression: SuppressionList) -> None:
    """Create the relations that the conditions of this module read. The backend has the parameters of the pseudonyms.

    Args:
        backend: runs the queries.
        catalog: contains the quarantined records.
        people: the people.
        suppression: the suppression list, with the people in it.
    """
    search_people(backend, people.addresses)
    periods = people.devices
    backend.materialize_values(
        "erased_devices",
        [
            ("serialNumber", "string", [period.serial for period in periods]),
            ("from_ms", "long", [period.from_ms for period in periods]),
            ("to_ms", "long", [period.to_ms for period in periods]),
        ],
    )
    search_devices(backend, "erased_devices")
    records: dict[tuple[str, int, str], str | None] = {}
    if paths := quarantine_files(catalog):
        scanned = backend.scan(quarantine.TABLE, DataFiles(tuple(paths), is_part=True))
        stopped = stopped_records(backend, scanned, suppression)
        records = {(record.source_file, record.position, record.text): record.others for record in stopped}
    files, positions, texts = zip(*records, strict=True) if records else ((), (), ())
    backend.materialize_values(
        RAW_RECORDS,
        [
            ("in_file", "string", files),
            ("at_position", "long", positions),
            ("text", "string", texts),
            ("others", "string", list(records.values())),
        ],
    )


def quarantine_files(catalog: Catalog) -> list[str]:
    """Return the Parquet files with quarantined records of all snapshots: of the table, and side files of landing tables."""
    paths = {file.file.path for file in data_files_of_all_snapshots(catalog, quarantine.TABLE.name)}
    for feed in FEEDS:
        metadata = catalog.table_metadata(feed.table.name)
        for snapshot in metadata.snapshots.values() if metadata else ():
            paths.update(catalog.side_path(name) for name in (snapshot.metadata.rejects if snapshot.metadata else ()))
    return sorted(paths)


def history_of(backend: Backend, catalog: Catalog, feed: Feed) -> str:
    """SQL query for the rows of all snapshots of a landing table. Rows in several files are repeated."""
    paths = sorted({file.file.path for file in data_files_of_all_snapshots(catalog, feed.table.name)})
    return backend.scan(feed.table, DataFiles(tuple(paths), is_part=True))


def devices_of(
    backend: Backend, catalog: Catalog, addresses: Sequence[str], erased_at_ms: int
) -> Mapping[str, list[DevicePeriod]]:
    """Return the devices of people by address, as the newest commit of `device_owner` has them.

    An open period ends with the erasure, or after the device's last reading: its clock may be ahead.

    Args:
        backend: has the relation of `search_people`.
        catalog: the catalog.
        addresses: the people.
        erased_at_ms: time of the erasure (ms since the epoch, UTC).
    """
    table = device_owner.TABLE
    scanned = backend.scan(table, catalog.files(table.name))
    periods: dict[str, list[DevicePeriod]] = {address: [] for address in addresses}
    for row in backend.select(
        f"SELECT person, serialNumber, from_ms, to_ms, last_reading_ms FROM ({scanned}) AS o "
        f"WHERE person IN (SELECT p.person FROM {PEOPLE} AS p) ORDER BY ALL"
    ):
        to_ms = row["to_ms"]
        if to_ms is None:
            to_ms = max(erased_at_ms, (row["last_reading_ms"] or 0) + 1)
        periods[row["person"]].append(DevicePeriod(row["serialNumber"], row["from_ms"], to_ms))
    return periods


def refused_people(backend: Backend, catalog: Catalog, suppression: SuppressionList) -> People:
    """Return everybody whom the list refuses and of whom a landing table has rows, in any snapshot.

    Args:
        backend: has the parameters of the list.
        catalog: the catalog.
        suppression: the list.
    """
    people = People()
    for feed in FEEDS:
        try:
            if _suppressed_history(backend, catalog, feed, suppression) is None:
                continue
            rows = refused_identities(backend, feed)
        finally:
            release(backend, feed)
        if "person" in feed.identifying:
            people |= People(addresses=tuple(row["refused"] for row in rows))
        else:
            people |= People(
                devices=tuple(DevicePeriod(row["refused"], row["refused_from_ms"], row["refused_to_ms"]) for row in rows)
            )
    return people


def _suppressed_history(backend: Backend, catalog: Catalog, feed: Feed, suppression: SuppressionList) -> str | None:
    """SQL condition: a row of any snapshot of a landing table is suppressed. None if there is no such row."""
    return suppressed_rows(backend, feed, history_of(backend, catalog, feed), suppression)


def searches(
    backend: Backend, catalog: Catalog, people: People, suppression: SuppressionList, renamed: Mapping[str, str]
) -> Iterator[tuple[Table, Search]]:
    """Yield how to find the people's rows in each table. Needs `search`. A search is valid until the next one.

    Args:
        backend: has the parameters of the list.
        catalog: the catalog.
        people: the people.
        suppression: the suppression list.
        renamed: new names of landing files whose name contained an address, by their old names.
    """
    for feed in FEEDS:
        try:
            condition = _suppressed_history(backend, catalog, feed, suppression)
            if condition is not None or renamed:
                yield feed.table, Search(renaming(feed.table, Removal(condition or "false"), renamed))
        finally:
            release(backend, feed)
    for table, how in derived_searches(people):
        # Bounds do not tell which files have rows with a new file name.
        column = None if renamed and "source_file" in table.column_names else how.column
        yield table, Search(renaming(table, how.removal, renamed), column, how.values)


def renaming(table: Table, removal: Removal, renamed: Mapping[str, str]) -> Removal:
    """Return a removal that also changes the names of landing files in the rows that remain.

    Args:
        table: the table. Without a column `source_file` nothing changes.
        removal: the rows to remove.
        renamed: new names by old names.
    """
    if not renamed or "source_file" not in table.column_names:
        return removal
    new_name = " ".join(f"WHEN {literal(old)} THEN {literal(new)}" for old, new in renamed.items())
    names = ", ".join(
        f"CASE source_file {new_name} ELSE source_file END AS source_file" if name == "source_file" else quoted(name)
        for name in table.column_names
    )
    return Removal(
        f"(coalesce({removal.condition}, false) OR source_file IN ({literals(renamed)}))",
        lambda touched: f"SELECT {names} FROM ({removal.kept(touched)}) AS t",
    )


@dataclass(frozen=True)
class FoundRecords:
    """The records of a landing file that the suppression list refuses.

    Attributes:
        landed: positions of landed records.
        quarantined: positions of quarantined records.
        other_landed: number of other landed records.
        other_quarantined: number of other quarantined records, and of those that are kept without their text.
        held: positions of quarantined records that put the consent of other people on hold, and these people.
    """

    landed: frozenset[int]
    quarantined: frozenset[int]
    other_landed: int
    other_quarantined: int
    held: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def positions(self) -> frozenset[int]:
        """Positions of all refused records."""
        return self.landed | self.quarantined


def find_records(
    backend: Backend, feed: Feed, files: Sequence[LandingFile], suppression: SuppressionList
) -> Mapping[str, FoundRecords]:
    """Read landing files, and find the records that the suppression list refuses.

    Args:
        backend: has the parameters of the list.
        feed: the files' feed.
        files: the files.
        suppression: the list.

    Returns:
        What was found in each file, by name. Files that changed while they were read are left out.
    """
    landed, quarantined, held = defaultdict(set), defaultdict(set), defaultdict[str, dict[int, tuple[str, ...]]](dict)
    ingested = backend.ingest(feed, files)
    try:
        rows = f"SELECT * FROM {quoted(ingested.landed)}"
        condition = suppressed_rows(backend, feed, rows, suppression)
        if condition is not None:
            for row in backend.select(f"SELECT source_file, source_position FROM ({rows}) AS r WHERE {condition}"):
                landed[row["source_file"]].add(row["source_position"])
        for record in stopped_records(backend, f"SELECT * FROM {quoted(ingested.quarantined)}", suppression):
            quarantined[record.source_file].add(record.position)
            if record.others is not None:
                held[record.source_file][record.position] = tuple(record.others.split("\n"))
    finally:
        release(backend, feed)
        backend.release(feed)
    return {
        name: FoundRecords(
            frozenset(landed[name]),
            frozenset(quarantined[name]),
            counts[0] - len(landed[name]),
            counts[1] - len(quarantined[name]) + len(held[name]),
            held[name],
        )
        for name, counts in ingested.counts.items()
    }
