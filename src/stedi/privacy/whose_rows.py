"""Find a person's rows in every table: by address, by pseudonym, by the devices that are theirs, or in quarantine."""

from collections.abc import Sequence
from dataclasses import dataclass

from stedi.compute import Backend
from stedi.model.data_files import DataFiles
from stedi.model.identity import SHORT_PSEUDONYM_DIGITS, device_pseudonym
from stedi.model.sql import quoted
from stedi.model.table import Table
from stedi.tables.landing import quarantine
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.operations import rule_result

# The relation with the devices that are the person's: serial, from_ms and to_ms of a period, and the start of the device's
# pseudonym.
DEVICES = "devices_of_person"
# Time of a record, by landing table of readings.
TIMES = {
    feed.table.name: field.name for feed in FEEDS for field in feed.fields if field.required and field.kind == "milliseconds"
}


@dataclass(frozen=True)
class RowMatch:
    """How to find a person's rows in a table.

    Attributes:
        by: address, pseudonym, device, quarantined record, or example of a violation.
        condition: SQL condition over the table's rows. It reads the parameters `$person` and `$pseudonym`, and the
            relation `DEVICES` if `needs_devices`.
        column: text column whose bounds tell which files can't have such rows; None if no column does.
    """

    by: str
    condition: str
    column: str | None = None

    @property
    def needs_devices(self) -> bool:
        """Whether the person's devices must be known before."""
        return DEVICES in self.condition


@dataclass(frozen=True)
class FileRows:
    """A person's rows in one data file, in one month.

    Attributes:
        path: path of the file.
        month_ms: start of the month in which the readings were taken (ms since the epoch, UTC); None in tables that are
            not readings of a landing table.
        rows: number of rows, also of those that another writer marked as deleted.
    """

    path: str
    month_ms: int | None
    rows: int


def row_match(table: Table) -> RowMatch | None:
    """Return how to find a person's rows in a table. None if its rows are about no person."""
    if table.person is not None:
        column = table.person if table.person in table.column_names else None
        if table.person_is_pseudonym:
            return RowMatch("pseudonym", f"({table.person}) = $pseudonym", column)
        return RowMatch("address", f"({table.person}) = $person", column)
    if "person" in table.column_names:
        return RowMatch("address", "person = $person", "person")
    if "device" in table.column_names:
        time = quoted(TIMES[table.name])
        theirs = f"d.serial = device AND {time} >= coalesce(d.from_ms, {time}) AND ({time} < d.to_ms OR d.to_ms IS NULL)"
        return RowMatch("device", f"EXISTS (SELECT 1 FROM {DEVICES} AS d WHERE {theirs})", "device")
    if table is quarantine.TABLE:
        return RowMatch("quarantined record", "list_contains(string_split(people, chr(10)), $person)")
    if table is rule_result.TABLE:
        customer = f"contains(examples, left($pseudonym, {SHORT_PSEUDONYM_DIGITS}))"
        device = f"EXISTS (SELECT 1 FROM {DEVICES} AS d WHERE contains(examples, d.short_pseudonym))"
        return RowMatch("example of a violation", f"({customer} OR {device})")
    return None


def devices_of_owner() -> str:
    """Write the query for the relation `DEVICES`, from a relation `device_owner` with the person's rows alone."""
    short = f"left({device_pseudonym('serialNumber')}, {SHORT_PSEUDONYM_DIGITS})"
    return f"SELECT serialNumber AS serial, from_ms, to_ms, {short} AS short_pseudonym FROM device_owner"


def count_by_file(backend: Backend, table: Table, match: RowMatch, paths: Sequence[str]) -> list[FileRows]:
    """Count a person's rows in data files. Each file is read once, and files without such rows are left out.

    Raises:
        WarehouseError: a file can't be read.
    """
    if not paths:
        return []
    month = "NULL"
    if time := TIMES.get(table.name):
        month = f"epoch_ms(date_trunc('month', make_timestamp({quoted(time)} * 1000)))"
    files = DataFiles(tuple(paths), is_part=True)
    rows = backend.select(
        f"SELECT filename AS path, {month} AS month_ms, count(*) AS rows "
        f"FROM ({backend.scan_with_filename(table, files)}) AS r WHERE {match.condition} GROUP BY ALL ORDER BY ALL"
    )
    return [FileRows(**row) for row in rows]
