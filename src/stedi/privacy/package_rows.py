"""The rows about one person that a package contains, without cells and records that name other people."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stedi.compute.duckdb import DuckDBBackend
from stedi.compute.duckdb.export import parquet_rows, stream_rows, write_json_lines, write_parquet
from stedi.ingest.skipped_files import ADDRESS_IN_PATH, PATH_WITH_ADDRESS
from stedi.model.sql import literal, quoted
from stedi.model.table import Column, Table
from stedi.privacy.other_people import MAY_NAME_PEOPLE, names_others, people_named, words_of
from stedi.privacy.whose_rows import DEVICES, TIMES, row_match
from stedi.tables.landing import accelerometer, customer, quarantine, step_trainer
from stedi.tables.operations import rule_result
from stedi.tables.reference import device_evidence, device_owner

# Relation with the quarantined records about the person that name nobody else: file and position.
_KEPT = "kept_records"
# Relation with the texts that name other people.
_LEFT_OUT = "left_out_texts"
# Stands for a text that names somebody else.
LEFT_OUT = "(left out: names somebody else)"
# Spreadsheets open at most 1,048,576 rows. Larger tables are split by month.
MAX_ROWS = 1_000_000
_NAMES = {
    customer.FEED.table.name: "customer_records",
    accelerometer.FEED.table.name: "readings_phone",
    step_trainer.FEED.table.name: "readings_device",
    quarantine.TABLE.name: "quarantined_records",
}
_STATUS = Column("owner_status", "string", "why the device was the person's at this time: confirmed, claimed or inferred")
# Columns that also describe other people.
_NOT_GIVEN = {rule_result.TABLE.name: ("examples",)}


@dataclass(frozen=True)
class ExportedTable:
    """Rows of a table in a package.

    Attributes:
        name: path of its files in the package, without their ending.
        table: the table.
        columns: its columns in the package.
        rows: number of rows.
        files: names of its files, with their number of rows.
        sources: number of rows by landing file; empty for derived tables.
    """

    name: str
    table: Table
    columns: tuple[Column, ...]
    rows: int
    files: Mapping[str, int]
    sources: Mapping[str, int]


@dataclass
class LeftOut:
    """What a package leaves out, because it is about other people, too.

    Attributes:
        cells: texts that name somebody else, by table.
        quarantined_records: quarantined records that also name somebody else, or a device of somebody else; and those
            that contain the serial number of a device of the person without any address.
        evidence_rows: rows about coincidences with devices that are not the person's.
    """

    cells: dict[str, int] = field(default_factory=dict)
    quarantined_records: int = 0
    evidence_rows: int = 0


@dataclass
class RowExport:
    """Writes the rows about one person.

    Attributes:
        backend: has the relations `PEOPLE`, `DEVICES` and `device_owner` for the person.
        person: normalised address.
        scan: SQL query for all rows of a table in the run.
        package: folder of the package.
        scratch: folder for temporary files.
        left_out: what was left out so far.
    """

    backend: DuckDBBackend
    person: str
    scan: Callable[[Table], str]
    package: Path
    scratch: Path
    left_out: LeftOut = field(default_factory=LeftOut)

    def write(self, table: Table) -> ExportedTable | None:
        """Write a table's rows about the person as Parquet and JSON lines. None if there are none.

        Raises:
            WarehouseError: a file can't be read or written, or the disk is full.
        """
        if table is quarantine.TABLE:
            self._find_quarantined()
        staged = self.scratch / "rows.parquet"
        columns = tuple(column for column in table.columns if column.name not in _NOT_GIVEN.get(table.name, ()))
        if table.name == step_trainer.FEED.table.name:
            columns += (_STATUS,)
        if not write_parquet(self.backend, self._query(table, columns), staged):
            return None
        exported = self._write(table, columns, staged)
        staged.unlink()
        return exported

    def _query(self, table: Table, columns: Sequence[Column]) -> str:
        """Write the query for a table's rows about the person."""
        names = ", ".join(f"r.{quoted(column.name)}" for column in columns if column is not _STATUS)
        rows = f"({self.scan(table)}) AS r"
        if table is quarantine.TABLE:
            return f"SELECT {names} FROM {rows} JOIN {_KEPT} AS k USING (source_file, source_position)"
        match = row_match(table)
        assert match is not None
        query = f"SELECT {names} FROM {rows} WHERE {match.condition}"
        if table is device_evidence.TABLE:
            theirs = f"EXISTS (SELECT 1 FROM {DEVICES} AS d WHERE d.serial = r.serialNumber AND {_in_period('hour_ms')})"
            [count] = self.backend.select(f"SELECT count(*) AS n FROM {rows} WHERE {match.condition} AND NOT {theirs}")
            self.left_out.evidence_rows = count["n"]
            return f"{query} AND {theirs}"
        if table.name == step_trainer.FEED.table.name:
            return (
                f"SELECT {names}, d.status AS {_STATUS.name} FROM {rows} "
                f"JOIN device_owner AS d ON d.serialNumber = r.device AND {_in_period(TIMES[table.name])}"
            )
        return query

    def _find_quarantined(self) -> None:
        """Create the relation `_KEPT`, and count the records that also name others."""
        whole = self._serials_of_nobody_else()
        has_serial = f"EXISTS (SELECT 1 FROM {DEVICES} AS d WHERE contains(lower(r.raw_record), d.serial))"
        rows = stream_rows(
            self.backend,
            f"SELECT feed, source_file, source_position, raw_record, people FROM ({self.scan(quarantine.TABLE)}) AS r "
            f"WHERE people IS NOT NULL OR regexp_matches(raw_record, {literal(MAY_NAME_PEOPLE)}) OR {has_serial}",
        )
        kept: list[tuple[str, int]] = []
        by_serial: list[tuple[str, int, set[str]]] = []
        for feed, file, position, raw, named in rows:
            people = people_named(raw or "") | set((named or "").split("\n")) - {""}
            if people == {self.person}:
                kept.append((file, position))
            elif self.person in people:
                self.left_out.quarantined_records += 1
            elif not people and whole & (words := words_of(raw or "")):
                # Only the device itself reports its own serial number. In customer records it is a claim, maybe another's.
                is_reliable = feed == step_trainer.FEED.name
                by_serial.append((file, position, words if is_reliable else set()))
        others = self._known_serials({word for *_, words in by_serial for word in words}) - whole
        for file, position, words in by_serial:
            if not words or words & others:
                self.left_out.quarantined_records += 1
            else:
                kept.append((file, position))
        self.backend.materialize_values(
            _KEPT,
            [
                ("source_file", "string", [file for file, _ in kept]),
                ("source_position", "long", [position for _, position in kept]),
            ],
        )

    def _serials_of_nobody_else(self) -> set[str]:
        """The serial numbers of the devices that were the person's all the time: their records have no usable time."""
        rows = self.backend.select(
            f"SELECT serialNumber FROM ({self.scan(device_owner.TABLE)}) AS o "
            f"WHERE serialNumber IN (SELECT serial FROM {DEVICES}) "
            f"GROUP BY serialNumber HAVING bool_and(coalesce(person = {literal(self.person)}, false))"
        )
        return {row["serialNumber"] for row in rows}

    def _known_serials(self, words: set[str]) -> set[str]:
        """Those words that are serial numbers of devices."""
        self.backend.materialize_values("words", [("word", "string", sorted(words))])
        rows = self.backend.select(
            f"SELECT DISTINCT serialNumber FROM ({self.scan(device_owner.TABLE)}) AS o "
            "WHERE serialNumber IN (SELECT word FROM words)"
        )
        return {row["serialNumber"] for row in rows}

    def _write(self, table: Table, columns: tuple[Column, ...], staged: Path) -> ExportedTable:
        name = _NAMES.get(table.name, f"derived/{table.name}")
        (self.package / name).parent.mkdir(mode=0o700, exist_ok=True)
        replaced = self._replaced_texts(table, columns, staged)
        order = TIMES.get(table.name)
        sort = ", ".join(map(quoted, (order,) if order else (n for n in table.sort if n in {c.name for c in columns})))
        cleaned = self.scratch / "cleaned.parquet"
        query = f"SELECT * {f'REPLACE ({replaced})' if replaced else ''} FROM ({parquet_rows(staged)}) AS r ORDER BY {sort}"
        rows = write_parquet(self.backend, query, cleaned)
        sources = {}
        if "source_file" in table.column_names and table.zone == "landing":
            counts = self.backend.select(
                f"SELECT source_file, count(*) AS n FROM ({parquet_rows(cleaned)}) AS r GROUP BY source_file ORDER BY ALL"
            )
            sources = {row["source_file"]: row["n"] for row in counts}
        files = self._write_files(name, columns, cleaned, rows, order)
        cleaned.unlink(missing_ok=True)
        return ExportedTable(name, table, columns, rows, files, sources)

    def _replaced_texts(self, table: Table, columns: Sequence[Column], staged: Path) -> str:
        """Write the SQL that replaces texts that name other people; empty if there are none to replace."""
        replaced = []
        for number, column in enumerate(column for column in columns if column.type == "string"):
            name = quoted(column.name)
            if column.name == "source_file":
                replaced.append(
                    f"regexp_replace({name}, {literal(ADDRESS_IN_PATH)}, {literal(PATH_WITH_ADDRESS)}, 'g') AS {name}"
                )
                continue
            candidates = (
                f"SELECT DISTINCT {name} FROM ({parquet_rows(staged)}) AS r "
                f"WHERE regexp_matches({name}, {literal(MAY_NAME_PEOPLE)})"
            )
            texts = [text for (text,) in stream_rows(self.backend, candidates) if names_others(text, self.person)]
            if not texts:
                continue
            relation = f"{_LEFT_OUT}_{number}"
            self.backend.materialize_values(relation, [("text", "string", texts)])
            is_left_out = f"{name} IN (SELECT text FROM {relation})"
            [count] = self.backend.select(f"SELECT count(*) AS n FROM ({parquet_rows(staged)}) AS r WHERE {is_left_out}")
            self.left_out.cells[table.name] = self.left_out.cells.get(table.name, 0) + count["n"]
            replaced.append(f"CASE WHEN {is_left_out} THEN {literal(LEFT_OUT)} ELSE {name} END AS {name}")
        return ", ".join(replaced)

    def _write_files(
        self, name: str, columns: Sequence[Column], cleaned: Path, rows: int, time: str | None
    ) -> dict[str, int]:
        """Write Parquet and JSON lines: one file of each, or one for each month."""
        times = [column.name for column in columns if column.type == "timestamptz"]
        if rows <= MAX_ROWS or time is None:
            parquet = self.package / f"{name}.parquet"
            cleaned.rename(parquet)
            write_json_lines(self.backend, parquet_rows(parquet), self.package / f"{name}.jsonl", times=times)
            return {f"{name}.parquet": rows, f"{name}.jsonl": rows}
        (self.package / name).mkdir(mode=0o700)
        files: dict[str, int] = {}
        month = f"strftime(make_timestamp({quoted(time)} * 1000), '%Y-%m')"
        source = parquet_rows(cleaned)
        for row in self.backend.select(f"SELECT DISTINCT {month} AS month FROM ({source}) AS r ORDER BY month"):
            part = f"{name}/{row['month']}"
            query = f"SELECT * FROM ({source}) AS r WHERE {month} = {literal(row['month'])} ORDER BY {quoted(time)}"
            parquet = self.package / f"{part}.parquet"
            count = write_parquet(self.backend, query, parquet)
            write_json_lines(self.backend, parquet_rows(parquet), self.package / f"{part}.jsonl", times=times)
            files |= {f"{part}.parquet": count, f"{part}.jsonl": count}
        return files


def _in_period(time: str) -> str:
    """Write the condition that a row's time is in the period of a row `d` of the person's devices."""
    at = f"r.{quoted(time)}"
    return f"{at} >= coalesce(d.from_ms, {at}) AND ({at} < d.to_ms OR d.to_ms IS NULL)"
