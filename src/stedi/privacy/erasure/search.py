"""Find erased people's rows in every table and snapshot, and their records in landing files and quarantine."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stedi.catalog import Catalog
from stedi.catalog.history import data_files_of_all_snapshots
from stedi.compute import Backend
from stedi.compute.row_split import Removal
from stedi.compute.suppressed_rows import redacted, release, stopped_records, suppressed_rows
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.suppression import DevicePeriod, SuppressionList
from stedi.model.data_files import DataFiles
from stedi.model.feed import Feed
from stedi.model.sql import quoted
from stedi.model.table import Table
from stedi.privacy.whose_rows import DEVICES, PEOPLE, row_match, search_devices, search_people
from stedi.tables.landing import quarantine
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.operations import rule_result
from stedi.tables.reference import device_evidence, device_owner
from stedi.tables.reference.device_evidence import HOUR_MS
from stedi.tables.registry import ALL

# The relation with the texts of quarantined records about the people, and the other people named in each.
RAW_RECORDS = "searched_raw_records"


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
    condition = f"raw_record IN (SELECT t.raw_record FROM {RAW_RECORDS} AS t)"

    def without_text(theirs: str) -> str:
        joined = f"SELECT r.*, t.others FROM ({theirs}) AS r JOIN {RAW_RECORDS} AS t ON t.raw_record = r.raw_record"
        return redacted(joined, "others")

    return Removal(condition, without_text)


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
                condition = f"({match.condition} OR EXISTS (SELECT 1 FROM {DEVICES} AS d WHERE {device}))"
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
        return f"d.serial = serialNumber AND {_overlaps('from_ms', 'to_ms')}"
    if table is device_evidence.TABLE:
        return f"d.serial = serialNumber AND {_overlaps('hour_ms', f'hour_ms + {HOUR_MS}')}"
    if "device_pseudonym" in table.column_names:
        return f"d.pseudonym = device_pseudonym AND {_overlaps('sensorReadingTime', 'sensorReadingTime + 1')}"
    if "serialNumber" in table.column_names and table.day is not None:
        return f"d.serial = serialNumber AND {_overlaps(table.day, f'{table.day} + 1')}"
    return None


def _overlaps(start: str, end: str) -> str:
    """SQL condition: a span of time overlaps the period of device `d`. Null is an open end."""
    return f"coalesce({start} < d.to_ms, true) AND coalesce({end} > d.from_ms, true)"


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
    texts: dict[str, str | None] = {}
    if paths := _quarantine_files(catalog):
        scanned = backend.scan(quarantine.TABLE, DataFiles(tuple(paths), is_part=True))
        texts = {record.text: record.others for record in stopped_records(backend, scanned, suppression)}
    backend.materialize_values(
        RAW_RECORDS, [("raw_record", "string", list(texts)), ("others", "string", list(texts.values()))]
    )


def _quarantine_files(catalog: Catalog) -> list[str]:
    """Return the Parquet files with quarantined records of all snapshots: of the table, and side files of landing tables."""
    paths = {file.file.path for file in data_files_of_all_snapshots(catalog, quarantine.TABLE.name)}
    for feed in FEEDS:
        metadata = catalog.table_metadata(feed.table.name)
        for snapshot in metadata.snapshots.values() if metadata else ():
            paths.update(catalog.side_path(name) for name in (snapshot.metadata.rejects if snapshot.metadata else ()))
    return sorted(paths)


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


def landing_search(backend: Backend, catalog: Catalog, feed: Feed, suppression: SuppressionList) -> Search | None:
    """Return how to find suppressed rows in all snapshots of a landing table. The caller must call `release` afterwards.

    Args:
        backend: has the parameters of the list.
        catalog: the catalog.
        feed: the feed.
        suppression: the suppression list.

    Returns:
        None if there is no such row.
    """
    paths = sorted({file.file.path for file in data_files_of_all_snapshots(catalog, feed.table.name)})
    rows = backend.scan(feed.table, DataFiles(tuple(paths), is_part=True) if paths else DataFiles())
    condition = suppressed_rows(backend, feed, rows, suppression)
    return None if condition is None else Search(Removal(condition))


@dataclass(frozen=True)
class FoundRecords:
    """The records of a landing file that the suppression list refuses.

    Attributes:
        landed: positions of landed records.
        quarantined: positions of quarantined records.
        other_landed: number of other landed records.
        other_quarantined: number of other quarantined records, and of those that are kept without their text.
    """

    landed: frozenset[int]
    quarantined: frozenset[int]
    other_landed: int
    other_quarantined: int

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
    landed, quarantined, kept = defaultdict(set), defaultdict(set), Counter[str]()
    ingested = backend.ingest(feed, files)
    try:
        rows = f"SELECT * FROM {quoted(ingested.landed)}"
        condition = suppressed_rows(backend, feed, rows, suppression)
        if condition is not None:
            for row in backend.select(f"SELECT source_file, source_position FROM ({rows}) AS r WHERE {condition}"):
                landed[row["source_file"]].add(row["source_position"])
        for record in stopped_records(backend, f"SELECT * FROM {quoted(ingested.quarantined)}", suppression):
            quarantined[record.source_file].add(record.position)
            kept[record.source_file] += record.others is not None
    finally:
        release(backend, feed)
        backend.release(feed)
    return {
        name: FoundRecords(
            frozenset(landed[name]),
            frozenset(quarantined[name]),
            counts[0] - len(landed[name]),
            counts[1] - len(quarantined[name]) + kept[name],
        )
        for name, counts in ingested.counts.items()
    }
