"""Find some people's rows in every table: by address, by pseudonym, by the devices that are theirs, or in quarantine."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stedi.compute import Backend
from stedi.model.data_files import DataFiles
from stedi.model.identity import SHORT_PSEUDONYM_DIGITS, customer_pseudonym, device_pseudonym
from stedi.model.sql import quoted
from stedi.model.table import Table
from stedi.tables.landing import quarantine
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.operations import rule_result

# The relation with the people: person and pseudonym.
PEOPLE = "searched_people"
# The relation with the devices that are theirs: serial, from_ms and to_ms of a period, and the device's pseudonym.
DEVICES = "searched_devices"
# Time of a record, by landing table of readings.
TIMES = {
    feed.table.name: field.name for feed in FEEDS for field in feed.fields if field.required and field.kind == "milliseconds"
}


@dataclass(frozen=True)
class RowMatch:
    """How to find some people's rows in a table.

    Attributes:
        by: address, pseudonym, device, quarantined record, or example of a violation.
        condition: SQL condition over the table's rows. It reads the relation `PEOPLE`, and `DEVICES` if `needs_devices`.
        column: text column whose bounds tell which files can't have such rows; None if no column does.
    """

    by: str
    condition: str
    column: str | None = None

    @property
    def needs_devices(self) -> bool:
        """Whether the people's devices must be known before."""
        return DEVICES in self.condition


@dataclass(frozen=True)
class FileRows:
    """Some people's rows in one data file, in one month.

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
    """Return how to find people's rows in a table. None if its rows are about no person."""
    if table.person is not None:
        column = table.person if table.person in table.column_names else None
        if table.person_is_pseudonym:
            return RowMatch("pseudonym", f"({table.person}) IN (SELECT pseudonym FROM {PEOPLE})", column)
        return RowMatch("address", f"({table.person}) IN (SELECT p.person FROM {PEOPLE} AS p)", column)
    if "person" in table.column_names:
        return RowMatch("address", f"person IN (SELECT p.person FROM {PEOPLE} AS p)", "person")
    if "device" in table.column_names:
        time = quoted(TIMES[table.name])
        theirs = f"d.serial = device AND {time} >= coalesce(d.from_ms, {time}) AND ({time} < d.to_ms OR d.to_ms IS NULL)"
        return RowMatch("device", f"EXISTS (SELECT 1 FROM {DEVICES} AS d WHERE {theirs})", "device")
    if table is quarantine.TABLE:
        is_named = "list_contains(string_split(people, chr(10)), p.person)"
        return RowMatch("quarantined record", f"EXISTS (SELECT 1 FROM {PEOPLE} AS p WHERE {is_named})")
    if table is rule_result.TABLE:
        short = f"left(p.pseudonym, {SHORT_PSEUDONYM_DIGITS})"
        customer = f"EXISTS (SELECT 1 FROM {PEOPLE} AS p WHERE contains(examples, {short}))"
        short = f"left(d.pseudonym, {SHORT_PSEUDONYM_DIGITS})"
        device = f"EXISTS (SELECT 1 FROM {DEVICES} AS d WHERE contains(examples, {short}))"
        return RowMatch("example of a violation", f"({customer} OR {device})")
    return None


def search_people(backend: Backend, people: Iterable[str]) -> None:
    """Create the relation `PEOPLE`. The backend has the parameters of the pseudonyms.

    Args:
        backend: runs the queries.
        people: normalised addresses.
    """
    backend.materialize_values("searched_addresses", [("person", "string", sorted(people))])
    backend.materialize(PEOPLE, f"SELECT person, {customer_pseudonym('person')} AS pseudonym FROM searched_addresses")
    backend.drop("searched_addresses")


def search_devices(backend: Backend, source: str) -> None:
    """Create the relation `DEVICES`.

    Args:
        backend: runs the queries.
        source: relation or query with the columns of `device_owner`, with the rows of the searched people alone.
    """
    pseudonym = device_pseudonym("serialNumber")
    backend.materialize(DEVICES, f"SELECT serialNumber AS serial, from_ms, to_ms, {pseudonym} AS pseudonym FROM {source}")


def count_by_file(backend: Backend, table: Table, match: RowMatch, paths: Sequence[str]) -> list[FileRows]:
    """Count some people's rows in data files. Each file is read once, and files without such rows are left out.

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
