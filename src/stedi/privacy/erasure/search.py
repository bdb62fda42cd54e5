"""Find erased people's rows in every data file of every snapshot, and their records in landing files and quarantine."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from stedi.catalog import Catalog
from stedi.catalog.value_search import files_by_snapshot
from stedi.compute import Backend
from stedi.ingest.landing_file import LandingFile
from stedi.model.data_files import DataFiles
from stedi.model.feed import Feed
from stedi.model.identity import fold, people_in
from stedi.model.table import Table
from stedi.privacy.whose_rows import DEVICES, RowMatch, row_match, search_devices, search_people
from stedi.tables.landing import quarantine
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.reference import device_evidence, device_owner
from stedi.tables.reference.device_evidence import HOUR_MS
from stedi.tables.registry import ALL

# The relation with the texts of the people's quarantined records.
RAW_RECORDS = "searched_raw_records"


@dataclass(frozen=True)
class Device:
    """A device and the period in which it is a person's.

    Attributes:
        serial: normalised serial number.
        from_ms: start of the period, on the device's clock (ms since the epoch); None if it is open.
        to_ms: end, excluded; None if it is open.
    """

    serial: str
    from_ms: int | None
    to_ms: int | None


@dataclass(frozen=True)
class People:
    """The people to erase: normalised addresses, and the devices that are theirs."""

    addresses: tuple[str, ...]
    devices: tuple[Device, ...] = ()

    @cached_property
    def _serials(self) -> re.Pattern[str]:
        """Matches a serial number of theirs that is not a part of a longer word or number."""
        serials = "|".join(sorted(re.escape(device.serial) for device in self.devices))
        return re.compile(rf"(?<![^\W_])({serials})(?![^\W_])" if serials else r"(?!)")

    def are_named_in(self, text: str) -> bool:
        """Whether a text, such as a broken record, contains an address or a serial number of theirs."""
        return not people_in(text).isdisjoint(self.addresses) or self._serials.search(fold(text)) is not None


def search(backend: Backend, people: People, raw_records: Iterable[str]) -> None:
    """Create the relations that the conditions of `match` read. The backend has the parameters of the pseudonyms.

    Args:
        backend: runs the queries.
        people: the people.
        raw_records: texts of quarantined records. Those that name the people are theirs.
    """
    search_people(backend, people.addresses)
    backend.materialize_values(
        "erased_devices",
        [
            ("serialNumber", "string", [device.serial for device in people.devices]),
            ("from_ms", "long", [device.from_ms for device in people.devices]),
            ("to_ms", "long", [device.to_ms for device in people.devices]),
        ],
    )
    search_devices(backend, "erased_devices")
    theirs = sorted(text for text in set(raw_records) if people.are_named_in(text))
    backend.materialize_values(RAW_RECORDS, [("raw_record", "string", theirs)])


def match(table: Table) -> RowMatch | None:
    """Return how to find the people's rows in a table. None if its rows are about no person.

    Finds more than `whose_rows.row_match`: all quarantined records that contain an address or a serial number of theirs, and
    rows about their devices that name somebody else, because the owner was not known yet.
    """
    if table is quarantine.TABLE:
        return RowMatch("quarantined record", f"raw_record IN (SELECT t.raw_record FROM {RAW_RECORDS} AS t)")
    found, device = row_match(table), _device_condition(table)
    if found is None or device is None:
        return found
    return RowMatch(f"{found.by} or device", f"({found.condition} OR EXISTS (SELECT 1 FROM {DEVICES} AS d WHERE {device}))")


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


MATCHES: Mapping[str, RowMatch] = {table.name: found for table in ALL if (found := match(table))}


def raw_records(backend: Backend, catalog: Catalog) -> list[str]:
    """Return the texts of all quarantined records, of every snapshot."""
    paths = {path for files in files_by_snapshot(catalog, quarantine.TABLE.name).values() for path in files.paths}
    for feed in FEEDS:
        metadata = catalog.table_metadata(feed.table.name)
        for snapshot in metadata.snapshots.values() if metadata else ():
            paths.update(catalog.side_path(name) for name in (snapshot.metadata.rejects if snapshot.metadata else ()))
    if not paths:
        return []
    scanned = backend.scan(quarantine.TABLE, DataFiles(tuple(sorted(paths)), is_part=True))
    return [row["raw_record"] for row in backend.select(f"SELECT DISTINCT raw_record FROM ({scanned}) AS records")]


def find_records(backend: Backend, feed: Feed, files: Sequence[LandingFile], people: People) -> dict[str, set[int]]:
    """Read landing files, and find the people's records.

    Args:
        backend: has the relations of `search`.
        feed: the files' feed.
        files: the files.
        people: the people.

    Returns:
        The positions of their records by file name. Files without one are left out.
    """
    ingested = backend.ingest(feed, files)
    try:
        landed = f'SELECT source_file, source_position FROM "{ingested.landed}" WHERE {MATCHES[feed.table.name].condition}'
        rows = backend.select(landed)
        quarantined = f'SELECT source_file, source_position, raw_record FROM "{ingested.quarantined}"'
        rows += [row for row in backend.select(quarantined) if people.are_named_in(row["raw_record"])]
    finally:
        backend.release(feed)
    positions: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        positions[row["source_file"]].add(row["source_position"])
    return positions
