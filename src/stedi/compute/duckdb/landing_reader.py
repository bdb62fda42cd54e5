"""Read landing files: clean records within DuckDB, all other records one by one in Python.

**Which path a record takes.** A file whose first bytes show another format (Parquet, zip, …) is not read at all.
Every other file starts on the fast path: DuckDB reads it as one JSON object per line and converts the fields.

- Fast path: a line is a clean record (`clean_records.is_clean`). Its row never leaves DuckDB. If only the spelling of an
  address or a serial number is unusual, that spelling is normalised in Python, once per distinct spelling.
- Slow path for a record: the line begins with `{`, but the record is not clean. `ingest.records` types its text. The
  other lines of the file stay on the fast path.
- Slow path for a file: some line is not one object, a line is longer than 1 MiB, or DuckDB can't open the file, such as a
  damaged compressed file. The rows that DuckDB read from it are dropped. `ingest.scanner` finds the records in the whole
  file, and `ingest.records` types them.

**Why both paths give the same rows.** The fast path accepts a record only if DuckDB and Python's JSON decoder convert it to
the same row. In doubt, a record takes the slow path. Both paths number the records of a file in the same way.

**Tests.** `tests/integration/test_two_ways_to_read.py` writes generated records as lines (fast path) and as one array
(slow path) and compares the rows. `tests/integration/test_formats.py` does so for each layout of files.

A clean file takes 0.009 s of CPU time per MB on the fast path and 0.134 s on the slow path (`bench/bad_files.py`).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Literal, Self

import duckdb

from stedi.compute.backend import Ingested
from stedi.compute.duckdb.clean_records import is_clean, json_type
from stedi.compute.duckdb.session import Session, interruptible
from stedi.compute.duckdb.sql import paths
from stedi.errors import LandingError
from stedi.ingest.compression import (
    SNIFFED_BYTES,
    decompress_bzip2,
    detect_compression,
    detect_other_format,
    is_undamaged,
)
from stedi.ingest.damage import Compression
from stedi.ingest.landing_file import LandingFile, is_unchanged, safe_name
from stedi.ingest.listing import local_copies
from stedi.ingest.records import ScannedRecord, is_valid_record, to_row
from stedi.ingest.scanner import scan_records, spelled_keys
from stedi.ingest.skipped_files import shown_name
from stedi.model.column_types import COLUMN_TYPES
from stedi.model.feed import Feed, last_time_ms
from stedi.model.identity import is_plain_address, is_plain_serial
from stedi.model.sql import literal, literals, quoted
from stedi.model.table import Column
from stedi.tables.landing.quarantine import TABLE as QUARANTINE

DuckDBCompression = Literal["none", "gzip", "zstd"]

_SLOW_BATCH = 50_000
# The longest record that the fast path reads. Files with longer ones take the slow path.
_MAX_OBJECT_BYTES = 1 << 20


@dataclass(frozen=True)
class _ReadableFile:
    """A landing file that DuckDB can open: at which path, and how its content is compressed there."""

    file: LandingFile
    path: Path
    compression: DuckDBCompression


class LandingReader:
    """Reads the files of one feed into relations of landed and quarantined rows.

    Temporary relations of a read:
        staged_records: all lines that DuckDB read, one row each, in the order of the files. `slow_text` is the
            text of a record that takes the slow path, and null for a clean record.
        staged_files: the files whose lines are all single objects, with the row number of their first line.
        slow_FEED: rows that landed on the slow path.
        quarantined_FEED: quarantined records.
        landed_FEED: a view of all landed rows, from both paths.
    """

    def __init__(self, session: Session, feed: Feed) -> None:
        self._session, self._feed = session, feed
        self._other_formats: dict[str, str] = {}
        self._landed, self._slow, self._quarantined = (f"{name}_{feed.name}" for name in ("landed", "slow", "quarantined"))

    def read(self, files: Sequence[LandingFile]) -> Ingested:
        """Read files; those in S3 are copied first. Files that change or vanish while they are read are left out.

        Raises:
            LandingError: S3 or a file can't be read.
            OSError: a copy can't be written.
            WarehouseError: memory or disk ran out.
        """
        with local_copies(files, self._session.scratch) as copies:
            try:
                with TemporaryDirectory(prefix="unpacked-", dir=self._session.scratch) as folder:
                    self._read(copies, Path(folder))
            except PermissionError as error:
                name = shown_name(safe_name(str(error.filename)))
                raise LandingError(
                    f"landing file {name} can't be read: {error.strerror}; grant this user read access"
                ) from error
            unchanged = [file for file in copies if is_unchanged(file)]
        if len(unchanged) < len(copies):
            self._keep_rows_of(unchanged)
        counts = self._count_rows()
        names = [file.name for file in unchanged]
        return Ingested(
            self._landed,
            self._quarantined,
            {name: counts.get(name, (0, 0)) for name in names},
            {name: self._other_formats[name] for name in names if name in self._other_formats},
        )

    def release(self) -> None:
        """Free the relations that `read` created."""
        self._session.sql(f"DROP VIEW IF EXISTS {quoted(self._landed)}")
        for name in ("staged_records", "staged_files", self._slow, self._quarantined):
            self._session.drop(name)

    def _read(self, files: Sequence[LandingFile], folder: Path) -> None:
        """Read local files on both paths. bzip2 files are decompressed into `folder`."""
        self._create(self._slow, self._feed.table.columns)
        self._create(self._quarantined, QUARANTINE.columns)
        files, irregular = self._stage_files(files, folder)
        self._create_staged_files(files, irregular)
        with _SlowRows(self._session, self._feed, self._slow, self._quarantined) as rows:
            self._type_slow_records(files, rows)
            for number in sorted(irregular):
                file = files[number]
                records = scan_records(Path(file.path), name=file.name, is_valid=partial(is_valid_record, self._feed, file))
                for position, record in enumerate(records, start=1):
                    rows.add(file, position, record)
        self._create_landed_view()

    def _create(self, name: str, columns: Iterable[Column]) -> None:
        body = ", ".join(f"{quoted(column.name)} {COLUMN_TYPES[column.type].duckdb}" for column in columns)
        self._session.sql(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} ({body})")

    # Fast path

    def _stage_files(self, files: Sequence[LandingFile], folder: Path) -> tuple[list[LandingFile], set[int]]:
        """Load files into `staged_records`.

        Returns:
            The files in the order of their numbers, without those of other formats, and the numbers of the irregular
            files: those that take the slow path as a whole.
        """
        columns = ", ".join(f"{quoted(field.name)} {json_type(field)}" for field in self._feed.fields)
        identities = "".join(f"{quoted(identity)} VARCHAR, " for identity in self._feed.identifying)
        self._session.sql(
            f"CREATE OR REPLACE TEMP TABLE staged_records "
            f"(file_number INTEGER, {columns}, {identities}has_unusual_spelling BOOLEAN, slow_text VARCHAR)"
        )
        readable, unreadable = self._open_files(files, folder)
        # One query reads all files with the same compression and the same spelling of keys.
        groups: dict[tuple[DuckDBCompression, tuple[str, ...]], list[_ReadableFile]] = defaultdict(list)
        for opened in readable:
            groups[opened.compression, spelled_keys(Path(opened.file.path), self._feed, opened.file.name)].append(opened)
        numbered = [*(opened.file for group in groups.values() for opened in group), *unreadable]
        irregular = set(range(len(readable), len(numbered)))
        first = 0
        for (_, keys), group in groups.items():
            if not self._stage_group(keys, group, first):
                # DuckDB can't read at least one file as lines, such as one with an endless line.
                irregular.update(
                    number
                    for number, opened in enumerate(group, start=first)
                    if not self._stage_group(keys, [opened], number)
                )
            first += len(group)
        self._normalise_unusual_spellings()
        other_lines = self._session.sql("SELECT DISTINCT file_number FROM staged_records WHERE slow_text[1] <> '{'")
        return numbered, irregular | {number for (number,) in other_lines}

    def _open_files(self, files: Sequence[LandingFile], folder: Path) -> tuple[list[_ReadableFile], list[LandingFile]]:
        """Split files into those that DuckDB can open and the others. Files of other formats are recorded and left out."""
        readable, unreadable = [], []
        self._other_formats = {}
        for number, file in enumerate(files):
            try:
                with Path(file.path).open("rb") as opened:
                    head = opened.read(SNIFFED_BYTES)
                if other_format := detect_other_format(head):
                    self._other_formats[file.name] = other_format
                elif for_duckdb := _open_in_duckdb(file, detect_compression(head, file.name), folder / f"{number}.json"):
                    readable.append(for_duckdb)
                else:
                    unreadable.append(file)
            except FileNotFoundError:
                # It vanished after it was listed, so `is_unchanged` leaves it out.
                continue
        return readable, unreadable

    def _stage_group(self, keys: Sequence[str], files: Sequence[_ReadableFile], first: int) -> bool:
        """Load files of one compression; False, and nothing loaded, if DuckDB can't read one of them as lines.

        Args:
            keys: the records' spelling of the feed's fields, in the fields' order.
            files: the files.
            first: number of the first file; the others follow.
        """
        fields = self._feed.fields
        clean = is_clean(self._feed, keys, [last_time_ms(opened.file.modified_ns) for opened in files], first)
        structure = json.dumps({key: json_type(field) for key, field in zip(keys, fields, strict=True)})
        values = ", ".join(
            f"converted.{quoted(key)} AS {quoted(field.name)}" for key, field in zip(keys, fields, strict=True)
        )
        names = ", ".join(quoted(field.name) for field in fields)
        identities = "".join(f"NULL AS {quoted(identity)}, " for identity in self._feed.identifying)
        # A folder may be named json=x. Without hive_partitioning=false its x would replace the column `json`.
        lines = (
            f"read_ndjson_objects({paths([str(opened.path) for opened in files])}, ignore_errors=true, "
            f"hive_partitioning=false, compression={literal(files[0].compression)}, "
            f"maximum_object_size={_MAX_OBJECT_BYTES})"
        )
        query = (
            # 1. Read the lines. Lines that are not JSON are null.
            f"WITH parsed AS (SELECT {first} + file_index AS file_number, json, "
            f"from_json(json, {literal(structure)}) AS converted FROM {lines}), "
            # 2. One column per field, under the field's own name.
            f"records AS (SELECT file_number, json, {values} FROM parsed), "
            # 3. Test each record.
            f"judged AS (SELECT *, {clean} AS is_clean, {_has_unusual_spelling(self._feed)} AS has_unusual_spelling "
            f"FROM records) "
            # 4. Keep the text of the records that are not clean.
            f"SELECT file_number, {names}, {identities}is_clean AND has_unusual_spelling AS has_unusual_spelling, "
            f"CASE WHEN is_clean AND NOT has_unusual_spelling THEN NULL ELSE coalesce(json::VARCHAR, '') END AS slow_text "
            f"FROM judged"
        )
        try:
            with interruptible():
                self._session.connection.execute(f"INSERT INTO staged_records {query}").fetchall()
        except (duckdb.InvalidInputException, duckdb.IOException):
            return False
        return True

    def _normalise_unusual_spellings(self) -> None:
        """Normalise the addresses and serial numbers for which lower case is not enough, once per distinct spelling.

        Records with a spelling that has no identity stay on the slow path.
        """
        if not self._session.sql("SELECT count(*) FROM staged_records WHERE has_unusual_spelling")[0][0]:
            return
        for identity, field in self._feed.identifying.items():
            name = quoted(field.name)
            spellings = f"SELECT {name} FROM staged_records WHERE has_unusual_spelling AND {name} IS NOT NULL"
            self._session.create_identities("resolved", identity, spellings)
            self._session.sql(
                f"UPDATE staged_records SET {quoted(identity)} = r.identity FROM resolved AS r "
                f"WHERE has_unusual_spelling AND r.spelling = staged_records.{name}"
            )
            self._session.drop("resolved")
        is_resolved = " AND ".join(
            f"({quoted(field.name)} IS NULL OR {quoted(identity)} IS NOT NULL)"
            for identity, field in self._feed.identifying.items()
        )
        self._session.sql(f"UPDATE staged_records SET slow_text = NULL WHERE has_unusual_spelling AND {is_resolved}")

    def _create_staged_files(self, files: Sequence[LandingFile], irregular: set[int]) -> None:
        """Create `staged_files`. Staged rows are in the order of their file, so a row's number gives its position."""
        self._session.materialize_values(
            "read_files",
            [
                ("file_number", "int", range(len(files))),
                ("source_file", "string", [file.name for file in files]),
                ("arrived_at", "timestamptz", [file.modified_ns // 1000 for file in files]),
                ("is_irregular", "boolean", [number in irregular for number in range(len(files))]),
            ],
        )
        self._session.sql(
            "CREATE OR REPLACE TEMP TABLE staged_files AS SELECT f.*, s.first_row, s.clean FROM read_files AS f "
            "JOIN (SELECT file_number, min(rowid) AS first_row, count(*) FILTER (slow_text IS NULL) AS clean "
            "FROM staged_records GROUP BY file_number) AS s USING (file_number) WHERE NOT is_irregular"
        )
        self._session.drop("read_files")

    # Slow path

    def _type_slow_records(self, files: Sequence[LandingFile], rows: "_SlowRows") -> None:
        """Type the records of regular files that are not clean, in batches."""
        self._session.sql(
            "CREATE OR REPLACE TEMP TABLE slow_records AS "
            "SELECT file_number, s.rowid - f.first_row + 1 AS position, s.slow_text "
            "FROM staged_records AS s JOIN staged_files AS f USING (file_number) WHERE s.slow_text IS NOT NULL"
        )
        for start in range(0, self._session.sql("SELECT count(*) FROM slow_records")[0][0], _SLOW_BATCH):
            batch = f"SELECT * FROM slow_records WHERE rowid >= {start} AND rowid < {start + _SLOW_BATCH}"
            for number, position, text in self._session.sql(batch):
                rows.add(files[number], position, ScannedRecord(text))
        self._session.drop("slow_records")

    # Both paths

    def _create_landed_view(self) -> None:
        """Create the view of all landed rows, from both paths."""
        values = ", ".join(
            f"s.{quoted(field.name)}::{COLUMN_TYPES[field.column_type].duckdb} AS {quoted(field.name)}"
            for field in self._feed.fields
        )
        identities = "".join(
            f", coalesce(s.{quoted(identity)}, lower(s.{quoted(field.name)})) AS {quoted(identity)}"
            for identity, field in self._feed.identifying.items()
        )
        self._session.sql(
            f"CREATE OR REPLACE TEMP VIEW {quoted(self._landed)} AS SELECT {values}{identities}, "
            "NULL::VARCHAR AS extra_fields, f.source_file, s.rowid - f.first_row + 1 AS source_position, f.arrived_at "
            f"FROM staged_records AS s JOIN staged_files AS f USING (file_number) WHERE s.slow_text IS NULL "
            f"UNION ALL FROM {quoted(self._slow)}"
        )

    def _keep_rows_of(self, files: Sequence[LandingFile]) -> None:
        """Delete the rows of all files but these."""
        is_other = f"source_file NOT IN ({literals(file.name for file in files)})" if files else "true"
        for relation in ("staged_files", self._slow, self._quarantined):
            self._session.sql(f"DELETE FROM {quoted(relation)} WHERE {is_other}")

    def _count_rows(self) -> dict[str, tuple[int, int]]:
        """Count landed and quarantined rows by file name."""
        counts = self._session.sql(
            "SELECT source_file, sum(landed)::BIGINT, sum(quarantined)::BIGINT FROM ("
            "SELECT source_file, clean AS landed, 0 AS quarantined FROM staged_files UNION ALL "
            f"SELECT source_file, count(*), 0 FROM {quoted(self._slow)} GROUP BY source_file UNION ALL "
            f"SELECT source_file, 0, count(*) FROM {quoted(self._quarantined)} GROUP BY source_file) AS counts GROUP BY 1"
        )
        return {name: (landed, quarantined) for name, landed, quarantined in counts}


def _open_in_duckdb(file: LandingFile, compression: Compression | None, decompressed: Path) -> _ReadableFile | None:
    """Prepare a file for DuckDB; None if DuckDB can't read it correctly.

    DuckDB opens no file whose name is not UTF-8, reads nothing from a file of one byte, does not verify the checksums of
    compressed files, and does not decompress bzip2.
    """
    path = Path(file.path)
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return None
    if compression == "gzip" or compression == "zstd":
        return _ReadableFile(file, path, compression) if is_undamaged(path, compression) else None
    if compression == "bzip2":
        if not decompress_bzip2(path, decompressed):
            return None
        path = decompressed
    return _ReadableFile(file, path, "none") if path.stat().st_size != 1 else None


def _has_unusual_spelling(feed: Feed) -> str:
    """SQL condition: the record has an address or serial number that lower case alone does not normalise."""
    is_plain = [
        f"coalesce({is_plain_address(quoted(f.name)) if identity == 'person' else is_plain_serial(quoted(f.name))}, true)"
        for identity, f in feed.identifying.items()
    ]
    if not is_plain:
        return "false"
    # A backslash escapes, among others, invisible ASCII characters.
    return f"(contains(json, '\\') OR NOT ({' AND '.join(is_plain)}))"


class _SlowRows:
    """Types records one by one and inserts their rows in batches."""

    def __init__(self, session: Session, feed: Feed, landed: str, quarantined: str) -> None:
        self._session, self._feed = session, feed
        self._columns = {landed: feed.table.columns, quarantined: QUARANTINE.columns}
        self._landed, self._quarantined = landed, quarantined
        self._rows: dict[str, list[tuple[object, ...]]] = {landed: [], quarantined: []}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            for relation in self._rows:
                self._insert(relation)

    def add(self, file: LandingFile, position: int, record: ScannedRecord) -> None:
        """Type a record and add its row to the landed or the quarantined ones."""
        is_landed, row = to_row(self._feed, file, position, record)
        relation = self._landed if is_landed else self._quarantined
        self._rows[relation].append(row)
        if len(self._rows[relation]) >= _SLOW_BATCH:
            self._insert(relation)

    def _insert(self, relation: str) -> None:
        rows, self._rows[relation] = self._rows[relation], []
        if not rows:
            return
        columns = zip(self._columns[relation], zip(*rows, strict=True), strict=True)
        self._session.materialize_values("batch", ((column.name, column.type, values) for column, values in columns))
        self._session.sql(f"INSERT INTO {quoted(relation)} SELECT * FROM batch")
        self._session.drop("batch")
