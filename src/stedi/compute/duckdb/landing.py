"""Read landing files: clean records inside the engine, everything unusual record by record.

Whoever reads the engine's fast path and the slow one of `stedi.ingest.scanner` must find the
same: the fast path takes only records about which there can be no doubt.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Literal, Self

import duckdb

from stedi.compute.backend import Ingested
from stedi.compute.duckdb.session import Session, interruptible
from stedi.compute.duckdb.sql import paths
from stedi.errors import LandingError
from stedi.ingest.archives import SNIFFED_BYTES, Packing, is_whole, other_format, packing_of, unpack_whole_bzip2
from stedi.ingest.landing_file import LandingFile, is_steady, safe_name
from stedi.ingest.listing import local_copies
from stedi.ingest.records import lands, row_of
from stedi.ingest.scanner import read_records, spelled_keys
from stedi.model.column_types import COLUMN_TYPES
from stedi.model.feed import FIRST_TIME_MS, Feed, last_time_ms
from stedi.model.identity import is_plain_address, is_plain_serial
from stedi.model.sql import literal, literals, quoted
from stedi.model.table import Column
from stedi.tables.landing.quarantine import TABLE as QUARANTINE

Compression = Literal["none", "gzip", "zstd"]

_JSON_TYPES = {"text": "VARCHAR", "milliseconds": "DOUBLE", "number": "DOUBLE"}
_SLOW_BATCH = 50_000
# The longest record that the fast path reads; files with longer ones are read record by record.
_LONGEST_OBJECT = 1 << 20
# Neither empty, nor blank, nor JSON: the first character's code point is none of those of white
# space, [ or {. Asking for one number costs a fifth of trimming the text; scripts that share
# a range with white space take the slow path.
_STARTS_WITH_A_CHARACTER = "(? BETWEEN 33 AND 122 AND ? <> 91 OR ? BETWEEN 161 AND 5759 OR ? > 12288)"
# Letters but those of NaN and Infinity, and the sign that JSON does not know. Not IN with a list:
# the engine would join with that, and rows would lose the order of their file.
_STARTS_LIKE_NO_NUMBER = "(? = 43 OR ? BETWEEN 65 AND 122 AND ? <> 73 AND ? <> 78 AND ? <> 91 AND ? <> 105 AND ? <> 110)"


class LandingReader:
    """Reads the files of one feed into relations of landed and quarantined rows."""

    def __init__(self, session: Session, feed: Feed) -> None:
        self._session, self._feed = session, feed
        self._other_formats: dict[str, str] = {}
        self._landed, self._unusual, self._quarantined = (f"{k}_{feed.name}" for k in ("landed", "unusual", "quarantined"))

    def read(self, files: Sequence[LandingFile]) -> Ingested:
        """Read files, copies of those in S3; those that were not steady meanwhile are left out.

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
                name = safe_name(str(error.filename))
                raise LandingError(
                    f"landing file {name} can't be read: {error.strerror}; give this user the right to"
                ) from error
            steady = [file for file in copies if is_steady(file)]
            formats = {file.name: self._other_formats[file.name] for file in steady if file.name in self._other_formats}
        if len(steady) < len(copies):
            # Somebody is still writing the others.
            self._leave_all_out_but(steady)
        counts = self._counts()
        taken = {file.name: counts.get(file.name, (0, 0)) for file in steady}
        return Ingested(self._landed, self._quarantined, taken, formats)

    def _read(self, files: Sequence[LandingFile], folder: Path) -> None:
        """Read local files. Clean records never leave the engine. What it can't unpack is unpacked to the folder."""
        self._create(self._unusual, self._feed.table.columns)
        self._create(self._quarantined, QUARANTINE.columns)
        files, irregular = self._stage_all(files, folder)
        self._name_staged_files(files, irregular)
        with _Sink(self._session, self._feed, self._unusual, self._quarantined) as sink:
            self._take_unusual_records(files, sink)
            for number in sorted(irregular):
                file = files[number]
                records = read_records(Path(file.path), name=file.name, is_valid=partial(lands, self._feed, file))
                for position, found in enumerate(records, start=1):
                    sink.put(file, position, found.text, found.pairs, found.reason)
        values = ", ".join(
            f"s.{quoted(f.name)}::BIGINT AS {quoted(f.name)}" if f.kind == "milliseconds" else f"s.{quoted(f.name)}"
            for f in self._feed.fields
        )
        identities = "".join(
            f", coalesce(s.{quoted(identity)}, lower(s.{quoted(f.name)})) AS {quoted(identity)}"
            for identity, f in self._feed.identifying.items()
        )
        self._session.sql(
            f"CREATE OR REPLACE TEMP VIEW {quoted(self._landed)} AS SELECT {values}{identities}, "
            "NULL::VARCHAR AS extra_fields, f.source_file, s.rowid - f.first_row + 1 AS source_position, f.arrived_at "
            f"FROM stage AS s JOIN staged_files AS f USING (file_number) WHERE s.doubtful IS NULL "
            f"UNION ALL FROM {quoted(self._unusual)}"
        )

    def _leave_all_out_but(self, files: Sequence[LandingFile]) -> None:
        gone = f"source_file NOT IN ({literals(file.name for file in files)})" if files else "true"
        for relation in ("staged_files", self._unusual, self._quarantined):
            self._session.sql(f"DELETE FROM {quoted(relation)} WHERE {gone}")

    def release(self) -> None:
        """Free what `read` made."""
        self._session.sql(f"DROP VIEW IF EXISTS {quoted(self._landed)}")
        for name in ("stage", "staged_files", self._unusual, self._quarantined):
            self._session.drop(name)

    def _counts(self) -> dict[str, tuple[int, int]]:
        counted = self._session.sql(
            "SELECT source_file, sum(landed)::BIGINT, sum(quarantined)::BIGINT FROM ("
            "SELECT source_file, clean AS landed, 0 AS quarantined FROM staged_files UNION ALL "
            f"SELECT source_file, count(*), 0 FROM {quoted(self._unusual)} GROUP BY source_file UNION ALL "
            f"SELECT source_file, 0, count(*) FROM {quoted(self._quarantined)} GROUP BY source_file) AS counted GROUP BY 1"
        )
        return {name: (landed, quarantined) for name, landed, quarantined in counted}

    def _create(self, name: str, columns: Iterable[Column]) -> None:
        body = ", ".join(f"{quoted(c.name)} {COLUMN_TYPES[c.type].duckdb}" for c in columns)
        self._session.sql(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} ({body})")

    def _stage_all(self, files: Sequence[LandingFile], folder: Path) -> tuple[list[LandingFile], set[int]]:
        """Parse files as one object a line into the table `stage`, with the text of doubtful records.

        Returns the files in the order of their numbers, and the numbers of those that are
        anything else than one object a line. Files of other formats are left out.
        """
        columns = ", ".join(f"{quoted(f.name)} {_JSON_TYPES[f.kind]}" for f in self._feed.fields)
        identities = "".join(f"{quoted(identity)} VARCHAR, " for identity in self._feed.identifying)
        self._session.sql(
            f"CREATE OR REPLACE TEMP TABLE stage "
            f"(file_number INTEGER, {columns}, {identities}is_odd BOOLEAN, doubtful VARCHAR)"
        )
        self._other_formats = {}
        groups: dict[tuple[Compression, tuple[str, ...]], list[tuple[LandingFile, str]]] = defaultdict(list)
        unfit: list[LandingFile] = []
        for number, file in enumerate(files):
            path = Path(file.path)
            try:
                with path.open("rb") as opened:
                    head = opened.read(SNIFFED_BYTES)
                if found := other_format(head):
                    self._other_formats[file.name] = found
                    continue
                readable = _for_the_engine(path, packing_of(head, file.name), folder / f"{number}.json")
            except FileNotFoundError:
                # Gone since it was listed: not steady, so left out.
                continue
            if readable is None:
                unfit.append(file)
                continue
            source, compression = readable
            groups[compression, spelled_keys(path, self._feed, file.name)].append((file, str(source)))
        numbered = [*(file for group in groups.values() for file, _ in group), *unfit]
        irregular = set(range(len(numbered) - len(unfit), len(numbered)))
        first = 0
        for (compression, keys), group in groups.items():
            if not self._stage(keys, group, compression, first):
                # At least one file can't be read as lines at all, such as one with an endless line.
                irregular.update(
                    number
                    for number, one in enumerate(group, start=first)
                    if not self._stage(keys, [one], compression, number)
                )
            first += len(group)
        self._resolve_odd_spellings()
        irregular.update(
            row[0] for row in self._session.sql("SELECT DISTINCT file_number FROM stage WHERE doubtful[1] <> '{'")
        )
        return numbered, irregular

    def _stage(
        self, keys: Sequence[str], files: Sequence[tuple[LandingFile, str]], compression: Compression, first: int
    ) -> bool:
        """Parse files whose records spell their keys alike; False, and nothing kept, where that fails.

        Args:
            keys: how the records spell the feed's fields, in the fields' order.
            files: each file, and the path at which the engine reads its content.
            compression: how the engine reads all of them.
            first: the number of the first file; the others follow.
        """
        fields = self._feed.fields
        clean = _clean(self._feed, keys, [last_time_ms(file.modified_ns) for file, _ in files], first)
        sources = paths([source for _, source in files])
        structure = json.dumps({key: _JSON_TYPES[f.kind] for key, f in zip(keys, fields, strict=True)})
        values = ", ".join(f"s.{quoted(key)} AS {quoted(f.name)}" for key, f in zip(keys, fields, strict=True))
        names = ", ".join(quoted(f.name) for f in fields)
        unresolved = "".join(f"NULL AS {quoted(identity)}, " for identity in self._feed.identifying)
        query = (
            f"SELECT file_number, {names}, {unresolved}is_clean AND is_odd AS is_odd, "
            f"CASE WHEN is_clean AND NOT is_odd THEN NULL ELSE coalesce(json::VARCHAR, '') END AS doubtful "
            f"FROM (SELECT *, {clean} AS is_clean, {_is_odd(self._feed)} AS is_odd "
            f"FROM (SELECT file_number, json, {values} FROM ("
            f"SELECT {first} + file_index AS file_number, json, from_json(json, {literal(structure)}) AS s "
            # Folders may be called json=x, which is not where the record's text is to come from.
            f"FROM read_ndjson_objects({sources}, ignore_errors=true, hive_partitioning=false, "
            f"compression={literal(compression)}, maximum_object_size={_LONGEST_OBJECT})) AS parsed) AS named) AS judged"
        )
        try:
            with interruptible():
                self._session.connection.execute(f"INSERT INTO stage {query}").fetchall()
        except (duckdb.InvalidInputException, duckdb.IOException):
            return False
        return True

    def _resolve_odd_spellings(self) -> None:
        """Normalise the addresses and serial numbers that lower case alone does not, each distinct one once.

        Records whose spelling has no identity, or several, stay doubtful.
        """
        if not self._session.sql("SELECT count(*) FROM stage WHERE is_odd")[0][0]:
            return
        for identity, field in self._feed.identifying.items():
            name = quoted(field.name)
            self._session.resolve("resolved", identity, f"SELECT {name} FROM stage WHERE is_odd AND {name} IS NOT NULL")
            self._session.sql(
                f"UPDATE stage SET {quoted(identity)} = r.identity FROM resolved AS r "
                f"WHERE is_odd AND r.spelling = stage.{name}"
            )
            self._session.drop("resolved")
        is_resolved = " AND ".join(
            f"({quoted(field.name)} IS NULL OR {quoted(identity)} IS NOT NULL)"
            for identity, field in self._feed.identifying.items()
        )
        self._session.sql(f"UPDATE stage SET doubtful = NULL WHERE is_odd AND {is_resolved}")

    def _name_staged_files(self, files: Sequence[LandingFile], irregular: set[int]) -> None:
        """Tell what the staged rows came from: rows keep their files' order, so a row's number tells its place."""
        self._session.hold(
            "arrived_files",
            [
                ("file_number", "int", range(len(files))),
                ("source_file", "string", [file.name for file in files]),
                ("arrived_at", "timestamptz", [file.modified_ns // 1000 for file in files]),
                ("is_irregular", "boolean", [number in irregular for number in range(len(files))]),
            ],
        )
        self._session.sql(
            "CREATE OR REPLACE TEMP TABLE staged_files AS SELECT f.*, s.first_row, s.clean FROM arrived_files AS f "
            "JOIN (SELECT file_number, min(rowid) AS first_row, count(*) FILTER (doubtful IS NULL) AS clean "
            "FROM stage GROUP BY file_number) AS s USING (file_number) WHERE NOT is_irregular"
        )
        self._session.drop("arrived_files")

    def _take_unusual_records(self, files: Sequence[LandingFile], sink: "_Sink") -> None:
        self._session.sql(
            "CREATE OR REPLACE TEMP TABLE unusual AS SELECT file_number, s.rowid - f.first_row + 1 AS position, s.doubtful "
            "FROM stage AS s JOIN staged_files AS f USING (file_number) WHERE s.doubtful IS NOT NULL"
        )
        for start in range(0, self._session.sql("SELECT count(*) FROM unusual")[0][0], _SLOW_BATCH):
            page = f"SELECT * FROM unusual WHERE rowid >= {start} AND rowid < {start + _SLOW_BATCH}"
            for number, position, raw in self._session.sql(page):
                sink.put(files[number], position, raw, None, None)
        self._session.drop("unusual")


def _for_the_engine(path: Path, packing: Packing | None, unpacked: Path) -> tuple[Path, Compression] | None:
    """Where the engine reads a file and how that is compressed; None where it does not take the file for what it is.

    It opens no file whose name is no UTF-8, sees nothing in a file of one byte, does not look at
    the checksums of packed files, and does not unpack bzip2.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return None
    if packing is None:
        return (path, "none") if path.stat().st_size != 1 else None
    if packing == "bzip2":
        is_for_it = unpack_whole_bzip2(path, unpacked) and unpacked.stat().st_size != 1
        return (unpacked, "none") if is_for_it else None
    return (path, packing) if is_whole(path, packing) else None


def _is_odd(feed: Feed) -> str:
    """SQL condition: a record has an address or serial number that lower case alone does not normalise."""
    plain = [
        f"coalesce({is_plain_address(quoted(f.name)) if identity == 'person' else is_plain_serial(quoted(f.name))}, true)"
        for identity, f in feed.identifying.items()
    ]
    if not plain:
        return "false"
    # With a backslash JSON spells, among others, the characters of ASCII that nobody sees.
    return f"(contains(json, '\\') OR NOT ({' AND '.join(plain)}))"


def _clean(feed: Feed, keys: Sequence[str], last_ms: Sequence[int], first: int) -> str:
    """SQL that holds for a record with nothing to look into.

    Every key is known and given once, every value of the right type, or null where it may be
    absent. No time is later than its file may contain: `last_ms` of the files, by number from `first`.
    What the engine takes and JSON or a number's spelling does not allow is looked into: truth values
    as numbers, numbers written as "1_000" or "+-5", bare NaN, a comma before the end.
    """
    tests = [_has_known_keys_once(feed, keys), *_spells_values_as_json_does(feed, keys)]
    for key, field in zip(keys, feed.fields, strict=True):
        name = quoted(field.name)
        valid = {
            "text": _is_plain_text(key, name),
            "number": f"isfinite({name})",
            "milliseconds": f"({_is_in_span(name, last_ms, first)} AND {name} = floor({name}))",
        }[field.kind]
        tests.append(valid if field.required else f"({name} IS NULL OR {valid})")
    if feed.one_of:
        tests.append(f"coalesce({', '.join(quoted(name) for name in feed.one_of)}) IS NOT NULL")
    return " AND ".join(tests)


def _is_in_span(name: str, last_ms: Sequence[int], first: int) -> str:
    """SQL that holds for a number from the first time of all to the last that its file may contain."""
    in_every_file = f"{name} BETWEEN {FIRST_TIME_MS} AND {min(last_ms)}"
    if min(last_ms) == max(last_ms):
        return in_every_file
    # Looked up only for times that are too late for the earliest file. A join would lose the order of rows.
    last = f"({last_ms}::DOUBLE[])[(file_number - {first} + 1)::BIGINT]"
    return f"CASE WHEN {in_every_file} THEN true ELSE {name} BETWEEN {FIRST_TIME_MS} AND {last} END"


def _has_known_keys_once(feed: Feed, keys: Sequence[str]) -> str:
    """SQL that holds for a record that has no key but known ones, none twice, and no comma before its end.

    A record with all of n keys and fewer than n commas has no room for more. Finding that many
    commas costs a quarter of counting them, and a fifth of listing keys.
    """
    is_present = [f"{quoted(field.name)} IS NOT NULL" for field in feed.fields]
    present = " + ".join(f"({test})::INTEGER" for test in is_present)
    commas = "len(string_split(json::VARCHAR, ',')) - 1"
    has_room_for_more = f"json LIKE {literal('%' + ',%' * len(keys))}"
    known = f"[{literals(keys)}]"
    places = f"[{literals('$.' + key for key in keys)}]"
    ends_in_a_comma = "suffix(rtrim(left(json, -1), ' \t\r'), ',')"
    # The engine works out every side of AND and OR, but of CASE only what is needed.
    return (
        f"CASE WHEN {' AND '.join(is_present)} AND NOT {has_room_for_more} THEN true "
        f"WHEN {commas} = {present} - 1 THEN true ELSE "
        f"list_has_all({known}, json_keys(json)) AND list_unique(json_keys(json)) = len(json_keys(json)) "
        f"AND len(json_keys(json)) = {present} + len(list_filter(json_type(json, {places}), lambda kind: kind = 'NULL')) "
        f"AND NOT {ends_in_a_comma} END"
    )


def _spells_values_as_json_does(feed: Feed, keys: Sequence[str]) -> list[str]:
    """SQL conditions that hold for a record without truth values, and without numbers as texts of an odd spelling."""
    named = [(key, quoted(field.name), field.kind == "text") for key, field in zip(keys, feed.fields, strict=True)]
    # The engine reads a bare true as 1 or 'true', as the field's type is.
    may_be_truth = " OR ".join(
        f"{name} = {value}" for _, name, is_text in named for value in (("'true'", "'false'") if is_text else ("1", "0"))
    )
    numbers = f"json_extract_string(json, [{literals('$.' + key for key, _, is_text in named if not is_text)}])"
    return [
        f"CASE WHEN {may_be_truth} THEN NOT contains(json, 'true') AND NOT contains(json, 'false') ELSE true END",
        "CASE WHEN contains(json, '_') OR contains(json, '+-') OR contains(json, '\\') THEN "
        f"len(list_filter({numbers}, lambda text: contains(text, '_') OR contains(text, '+-'))) = 0 ELSE true END",
    ]


def _is_plain_text(key: str, name: str) -> str:
    """SQL that holds for a text that is neither empty, nor blank, nor JSON, and stands in quotes.

    Bare numbers become text differently with each reader. What casts to no number is none of
    them, nor is what starts with "+" or most letters. A quote inside a string is escaped, so what
    looks like the key and a quote in the record is just that.
    """
    starts_like_no_number, starts, starts_after_blanks = (
        condition.replace("?", f"unicode({text})")
        for condition, text in (
            (_STARTS_LIKE_NO_NUMBER, name),
            (_STARTS_WITH_A_CHARACTER, name),
            (_STARTS_WITH_A_CHARACTER, f"ltrim({name}, ' ')"),
        )
    )
    quoted_here, quoted_after_blank = (f"contains(json, {literal(start)})" for start in (f'"{key}":"', f'"{key}": "'))
    # The engine works out every side of AND and OR, but of CASE only what is needed.
    return (
        f"CASE WHEN {starts_like_no_number} THEN true "
        f"WHEN CASE WHEN {starts} THEN true ELSE {starts_after_blanks} END IS DISTINCT FROM true THEN false "
        f"WHEN TRY_CAST({name} AS DOUBLE) IS NULL THEN true WHEN {quoted_here} THEN true "
        f"WHEN {quoted_after_blank} THEN true ELSE json_type(json, {literal('$.' + key)}) = 'VARCHAR' END"
    )


class _Sink:
    """Collects records that were read one by one and hands them to the engine in batches."""

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
                self._flush(relation)

    def put(
        self,
        file: LandingFile,
        position: int,
        text: str,
        pairs: list[tuple[str, Any]] | None,
        reason: str | None,
    ) -> None:
        """Type one record and keep it: landed, or quarantined with the reason."""
        is_landed, row = row_of(self._feed, file, position, text, pairs, reason)
        relation = self._landed if is_landed else self._quarantined
        self._rows[relation].append(row)
        if len(self._rows[relation]) >= _SLOW_BATCH:
            self._flush(relation)

    def _flush(self, relation: str) -> None:
        rows, self._rows[relation] = self._rows[relation], []
        if not rows:
            return
        columns = zip(self._columns[relation], zip(*rows, strict=True), strict=True)
        self._session.hold("batch", ((column.name, column.type, values) for column, values in columns))
        self._session.sql(f"INSERT INTO {quoted(relation)} SELECT * FROM batch")
        self._session.drop("batch")
