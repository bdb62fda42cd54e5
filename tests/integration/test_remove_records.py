"""Records are removed from landing files of every layout, and all other records stay as they were."""

import bz2
import gzip
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi.compute.duckdb import DuckDBBackend
from stedi.errors import LandingError
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.listing import list_files
from stedi.ingest.record_spans import Content, record_spans
from stedi.ingest.scanner import scan_records
from stedi.model.feed import Feed
from stedi.model.sql import quoted
from stedi.privacy.landing_files import RewrittenFile, delete_drafts, plan_removal, remove_file, remove_records
from stedi.tables.landing.feeds import FEEDS
from tests.support.disk import small_disk
from tests.support.lake import customer, put
from tests.support.layouts import LAYOUTS, LINES, LISTED, PLAIN, UNUSUAL
from tests.support.rights import read_only

__all__ = ["small_disk"]

CUSTOMER, ACCELEROMETER, _ = FEEDS
FILES = {
    **LAYOUTS,
    **{name: content for name, (content, _) in UNUSUAL.items()},
    **{f"{name}.json": "".join(text for text, _ in parts).encode() for name, parts in LISTED.items()},
}
DAMAGED = (False, "a damaged place")
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBBackend]:
    with DuckDBBackend(scratch=tmp_path_factory.mktemp("engine"), threads=1) as engine:
        yield engine


class Landing:
    """A landing folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scratch = folder / "landing", folder / "scratch"
        self.scratch.mkdir()

    def put(self, name: str, content: bytes) -> LandingFile:
        """Write a file; returns its version."""
        put(self.folder / name, content)
        return self.file(name.split("/")[0])

    def file(self, folder: str = "accelerometer") -> LandingFile:
        """Return the only file of a feed."""
        [file] = list_files(str(self.folder), next(feed for feed in FEEDS if feed.name == folder))
        return file

    def files(self) -> set[str]:
        """Return the names of all files and folders."""
        return {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*")}

    def remove(self, file: LandingFile, positions: Sequence[int], **options: Any) -> RewrittenFile:
        """Plan to remove records, and remove them. Both must give the same numbers."""
        feed = next(feed for feed in FEEDS if file.name.split("/")[0] in feed.folders)
        arguments = {"is_theirs": lambda text: True, "scratch": self.scratch, **options}
        before = self.files()
        planned = plan_removal(file, feed, positions, **arguments)
        assert self.files() == before
        removed = remove_records(file, feed, positions, **arguments)
        assert planned == replace(removed, file=None)
        assert not [*self.scratch.iterdir()]
        return removed


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(tmp_path)


def read(engine: DuckDBBackend, feed: Feed, file: LandingFile) -> dict[int, tuple[bool, str]]:
    """Read a file as a run does; returns whether each record landed, and its fields or raw text, by position."""
    ingested = engine.ingest(feed, [file])
    fields = ", ".join(f"'{field.name}': {quoted(field.name)}" for field in feed.fields)
    rows = engine.sql(
        f"SELECT source_position, true, to_json({{{fields}, 'extra': extra_fields, 'at': arrived_at}})::VARCHAR "
        f"FROM {quoted(ingested.landed)} "
        f"UNION ALL SELECT source_position, false, raw_record FROM {quoted(ingested.quarantined)} ORDER BY 1"
    )
    engine.release(feed)
    return {position: (is_landed, text) for position, is_landed, text in rows}


@pytest.mark.parametrize("name", FILES)
def test_the_others_are_read_as_before(landing: Landing, engine: DuckDBBackend, name: str) -> None:
    file = landing.put(f"accelerometer/{name}", FILES[name])
    rows = read(engine, ACCELEROMETER, file)
    spans = list(record_spans(Path(file.path)))
    assert [span.position for span in spans] == list(rows) == list(range(1, len(rows) + 1))
    with Path(file.path).open("rb") as raw:
        content = Content(raw, file.name).read(None)
    for (is_landed, row), span in zip(rows.values(), spans, strict=True):
        record = content[span.start : span.end]
        if is_landed:
            values = {key.lower(): value for key, value in json.loads(record).items()}
            assert json.loads(row)["timeStamp"] == int(values["timestamp"])
        elif span.start is not None:
            assert row.startswith(record[:1000].decode("utf-8", "backslashreplace"))
    if not rows:
        return
    positions = list(rows)[1::2] or list(rows)
    result = landing.remove(file, positions)
    kept = [row for position, row in rows.items() if position not in positions]
    assert (result.removed_records, result.kept_records, result.placeholders) == (len(positions), len(kept), 0)
    after = list(read(engine, ACCELEROMETER, result.file).values()) if result.file else []
    assert landing.files() == {"accelerometer", *([f"accelerometer/{name}"] if kept else [])}
    assert [row if row[0] or "damaged at" not in row[1] else DAMAGED for row in kept] == [
        row if row[0] or not row[1].startswith("broken_") else DAMAGED for row in after
    ]


def text(*records: bytes) -> bytes:
    return b"".join(record + b"\n" for record in records)


A, B, C, D = LINES[:4]
BOM = b"\xef\xbb\xbf"
CUTS = {
    "the first line": (text(A, B, C), [1], text(B, C)),
    "a line in the middle": (text(A, B, C), [2], text(A, C)),
    "the last line": (text(A, B, C), [3], text(A, B)),
    "a last line without a line break": (text(A, B) + C, [3], text(A, B)),
    "lines before a last one without a line break": (text(A, B) + C, [1, 2], C),
    "CRLF": (text(A, B, C).replace(b"\n", b"\r\n"), [1, 3], B + b"\r\n"),
    "after a byte-order mark": (BOM + text(A, B), [1], BOM + text(B)),
    "between blank lines": (A + b"\n\n" + B + b"\n\n" + C + b"\n", [2], A + b"\n\n\n" + C + b"\n"),
    "a line with blanks": (A + b" \n" + B + b"\t\n" + C, [2], A + b" \n" + C),
    "the first of an array": (b"[" + A + b", " + B + b"]", [1], b"[" + B + b"]"),
    "the last of an array": (b"[" + A + b", " + B + b"]", [2], b"[" + A + b"]"),
    "both ends of an array": (b"[\n " + b",\n ".join([A, B, C]) + b"\n]\n", [1, 3], b"[\n " + B + b"\n]\n"),
    "the end of one array and the start of the next": (
        b"[" + A + b"," + B + b"][" + C + b"," + D + b"]",
        [2, 3],
        b"[" + A + b"][" + D + b"]",
    ),
    "a whole array": (b"[" + A + b"]\n[" + B + b"]\n", [1], b"[]\n[" + B + b"]\n"),
    "arrays in an array": (b"[" + A + b",[" + B + b"]," + C + b"]", [1, 2], b"[[]," + C + b"]"),
    "back to back": (A + B + b" " + C, [2], A + C),
    "two of three on a line": (A + B + C + b"\n" + D + b"\n", [1, 2], C + b"\n" + D + b"\n"),
    "trailing commas": (b",\n".join([A, B, C]) + b",\n", [2, 3], A + b",\n"),
    "a cut last line": (text(A, B) + C[:20], [3], text(A, B)),
    "a line that is not UTF-8": (text(A, b'{"\xff\xfe":"\xc3"}', B), [1], text(b'{"\xff\xfe":"\xc3"}', B)),
    "text that looks like another format": (text(A, b"PAR1", B), [1], text(b"{}", b"PAR1", B)),
    "the element that shows where a cut line ends": (
        text(b'{"old": [{"a": 1},', A, B),
        [2],
        text(b'{"old": [{"a": 1},', b"{}", B),
    ),
}


@pytest.mark.parametrize("name", CUTS)
def test_the_other_bytes_stay(landing: Landing, name: str) -> None:
    content, positions, expected = CUTS[name]
    file = landing.put("accelerometer/a.json", content)
    result = landing.remove(file, positions)
    assert Path(file.path).read_bytes() == expected
    assert (result.bytes_before, result.bytes_after) == (len(content), len(expected))
    assert result.placeholders == (1 if b"{}" in expected else 0)


TOKENS = [
    *'{}[]",:\n ',
    *('"a":', "x", "},", "\n{", "[{", ",\n", '{"a":1}', '{"a":1}', '{"a":[', "\r\n", " {", "é", "\x00", "\ufeff"),
]
TEXTS = st.lists(st.sampled_from(TOKENS), max_size=40).map("".join)


@settings(SLOW, max_examples=80)
@given(text=TEXTS, first=st.integers(0, 2), every=st.integers(1, 3))
def test_in_any_text_the_other_records_stay(
    tmp_path_factory: pytest.TempPathFactory, text: str, first: int, every: int
) -> None:
    landing = Landing(tmp_path_factory.mktemp("text"))
    file = landing.put("accelerometer/a.json", text.encode())
    records = [record.text for record in scan_records(Path(file.path))]
    positions = list(range(1, len(records) + 1))[first::every]
    if not positions:
        return
    result = landing.remove(file, positions)
    after = [record.text for record in scan_records(Path(file.path))] if result.file else []
    if result.placeholders:
        assert after == ["{}" if at in positions else record for at, record in enumerate(records, start=1)]
    else:
        assert after == [record for at, record in enumerate(records, start=1) if at not in positions]


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}
UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.decompress,
    "bz2": bz2.decompress,
    "zst": lambda packed: zstandard.ZstdDecompressor().decompressobj().decompress(packed),
}


@pytest.mark.parametrize("ending", PACK)
def test_a_packed_file_stays_packed(landing: Landing, ending: str) -> None:
    """Several members become one."""
    file = landing.put(f"accelerometer/a.json.{ending}", PACK[ending](text(A, B)) + PACK[ending](text(C)))
    landing.remove(file, [2])
    assert UNPACK[ending](Path(file.path).read_bytes()) == text(A, C)


def test_the_name_within_a_gzip_file_goes(landing: Landing) -> None:
    packed = gzip.compress(text(A, B), mtime=0)
    named = packed[:3] + bytes([packed[3] | 8]) + packed[4:10] + b"ann@x.org.json\0" + packed[10:]
    file = landing.put("accelerometer/a.json.gz", named)
    landing.remove(file, [1])
    assert b"ann@x.org" not in Path(file.path).read_bytes()


@pytest.mark.parametrize("ending", PACK)
@settings(SLOW, max_examples=8)
@given(
    members=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    at=st.floats(0, 1),
    lacking=st.sampled_from([0, 1, 9, 10_000]),
    every=st.integers(1, 4),
)
def test_of_a_damaged_file_all_readable_records_stay(
    tmp_path_factory: pytest.TempPathFactory,
    engine: DuckDBBackend,
    ending: str,
    members: list[int],
    at: float,
    lacking: int,
    every: int,
) -> None:
    landing = Landing(tmp_path_factory.mktemp("damaged"))
    numbers = iter(range(sum(members)))
    packed = b"".join(
        PACK[ending]("".join(json.dumps(customer(f"p{next(numbers)}@x.org", 1)) + "\n" for _ in range(size)).encode())
        for size in members
    )
    start = max(4, int(len(packed) * at))
    # Without lacking bytes, one is changed.
    damaged = packed[:start] + (packed[start + lacking :] if lacking else bytes([packed[start - 1] ^ 4]) + packed[start:])
    file = landing.put(f"customer/a.json.{ending}", damaged)
    rows = read(engine, CUSTOMER, file)
    positions = list(rows)[::every]
    if not rows:
        return
    result = landing.remove(file, positions)
    kept = [row for position, row in rows.items() if position not in positions]
    after = list(read(engine, CUSTOMER, result.file).values()) if result.file else []
    assert len(after) == len(kept)
    for row, row_before in zip(after, kept, strict=True):
        assert row == row_before or (row[1].startswith("broken_") and "damaged at byte" in row_before[1])
    if result.file:
        assert UNPACK[ending](Path(result.file.path).read_bytes()).endswith(b"\n")


def test_people_in_the_text_of_a_damaged_place_stay_on_hold(landing: Landing, engine: DuckDBBackend) -> None:
    whole = gzip.compress(text(*(json.dumps(customer(f"p{number}@x.org", 1)).encode() for number in range(200))), 0)
    file = landing.put("customer/a.json.gz", whole[:9000])
    *_, damage = range(1, len(read(engine, CUSTOMER, file)) + 1)
    people = "SELECT people FROM quarantined_customer"
    engine.ingest(CUSTOMER, [file])
    [(before,)] = engine.sql(people)
    result = landing.remove(file, [1], is_theirs=lambda text: "p0@x.org" in text)
    assert result.file
    assert result.dropped_bytes > 0
    engine.ingest(CUSTOMER, [result.file])
    assert engine.sql(people) == [(before,)]
    assert damage == result.kept_records + 1


# Files


def test_a_file_keeps_its_times_and_permissions(landing: Landing) -> None:
    file = landing.put("accelerometer/a.json", PLAIN)
    path = Path(file.path)
    path.chmod(0o640)
    os.utime(file.path, ns=(1_600_000_000_123_456_789, 1_600_000_000_987_654_321))
    if os.geteuid() == 0:
        os.chown(file.path, 1234, 1235)
    before = path.stat()
    landing.remove(landing.file(), [1])
    after = path.stat()
    for name in ("st_mode", "st_uid", "st_gid", "st_mtime_ns"):
        assert getattr(after, name) == getattr(before, name), name
    assert landing.file().modified_ns == 1_600_000_000_987_654_321


def test_a_file_without_records_goes_with_its_folders_and_checksums(landing: Landing) -> None:
    file = landing.put("accelerometer/2026/ann@x.org/a.json", PLAIN)
    for name in ("a.json.crc", ".a.json.crc", ".stedi-erasure.draft"):
        put(landing.folder / f"accelerometer/2026/ann@x.org/{name}", b"stale")
    result = remove_records(file, ACCELEROMETER, range(1, 6), lambda text: True, scratch=landing.scratch)
    assert (result.file, result.kept_records, result.sha256_after) == (None, 0, None)
    assert landing.files() == {"accelerometer"}


def test_checksums_of_the_old_content_go(landing: Landing) -> None:
    file = landing.put("accelerometer/a.json", PLAIN)
    for name in ("a.json.crc", ".a.json.crc", "b.json.crc"):
        put(landing.folder / "accelerometer" / name, b"stale")
    landing.remove(file, [1])
    assert landing.files() == {"accelerometer", "accelerometer/a.json", "accelerometer/b.json.crc"}


@pytest.mark.parametrize("name", ["ann@x.org/of ann@x.org.json.gz", "ann@x.org/\n\udcff.json.gz", "ann@x.org\\.json.gz"])
def test_names_with_addresses_become_neutral(landing: Landing, name: str) -> None:
    file = landing.put(f"accelerometer/2026/{name}", gzip.compress(PLAIN))
    result = landing.remove(file, [1], is_name_theirs=lambda part: "ann@x.org" in part)
    assert result.file == landing.file()
    assert result.new_name == result.file.name
    assert result.sha256_after
    assert landing.files() == {"accelerometer", "accelerometer/2026", result.new_name}
    assert result.new_name == f"accelerometer/2026/erased-{result.sha256_after[:16]}.json.gz"
    assert gzip.decompress((landing.folder / result.new_name).read_bytes()) == text(*LINES[1:])


def test_the_landing_folder_may_be_the_current_one(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    landing.put("accelerometer/ann@x.org/a.json", PLAIN)
    monkeypatch.chdir(landing.folder)
    landing.folder = Path()
    result = landing.remove(landing.file(), [1], is_name_theirs=lambda part: "ann" in part)
    assert landing.files() == {"accelerometer", result.new_name}


def test_a_name_alone_can_change(landing: Landing) -> None:
    file = landing.put("accelerometer/ann@x.org.json", PLAIN)
    result = landing.remove(file, [], is_name_theirs=lambda part: "ann@x.org" in part)
    assert result.new_name
    assert (landing.folder / result.new_name).read_bytes() == PLAIN
    assert landing.file().modified_ns == file.modified_ns


def test_without_positions_nothing_is_written(landing: Landing) -> None:
    file = landing.put("accelerometer/a.json", PLAIN)
    put(landing.folder / "accelerometer/a.json.crc", b"right")
    result = landing.remove(file, [])
    assert (result.file, result.sha256_after, result.kept_records) == (file, result.sha256_before, 5)
    assert landing.file() == file
    assert landing.files() == {"accelerometer", "accelerometer/a.json", "accelerometer/a.json.crc"}


def test_a_link_is_followed_and_reported(landing: Landing, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere/a.json", PLAIN)
    (landing.folder / "accelerometer").mkdir(parents=True)
    (landing.folder / "accelerometer/ann@x.org.json").symlink_to("../../elsewhere/a.json")
    result = landing.remove(landing.file(), [1, 2], is_name_theirs=lambda part: "ann" in part)
    assert result.link_target == str(tmp_path / "elsewhere/a.json")
    assert (tmp_path / "elsewhere/a.json").read_bytes() == text(*LINES[2:])
    assert result.new_name
    assert (landing.folder / result.new_name).read_bytes() == text(*LINES[2:])
    assert (landing.folder / result.new_name).is_symlink()
    landing.remove(landing.file(), [1, 2, 3])
    assert landing.files() == {"accelerometer"}
    assert not [*(tmp_path / "elsewhere").iterdir()]


def test_other_names_of_the_old_content_are_reported(landing: Landing, tmp_path: Path) -> None:
    put(landing.folder / "accelerometer/a.json", PLAIN)
    os.link(landing.folder / "accelerometer/a.json", tmp_path / "other")
    assert landing.remove(landing.file(), [1]).other_names == 1
    assert (tmp_path / "other").read_bytes() == PLAIN


# Errors


def unchanged_after(
    landing: Landing, file: LandingFile, match: str, positions: Sequence[int] = (2,), **options: Any
) -> None:
    """Check that an error of one line leaves all files as they were."""
    before, content = landing.files(), Path(file.path).read_bytes()
    arguments = {"is_theirs": lambda text: True, "scratch": landing.scratch, **options}
    with pytest.raises(LandingError, match=match) as caught:
        remove_records(file, ACCELEROMETER, positions, **arguments)
    assert "\n" not in str(caught.value)
    assert "@" not in str(caught.value).replace("(name with @)", "")
    assert landing.files() == before
    assert Path(file.path).read_bytes() == content


def test_records_of_somebody_else_stay(landing: Landing) -> None:
    file = landing.put("accelerometer/ann@x.org.json", PLAIN)
    unchanged_after(landing, file, "record 2 is about somebody else", is_theirs=lambda text: json.loads(text)["x"] != 0.25)
    file = landing.put("accelerometer/ann@x.org.json", b"[" + b",".join(LINES) + b"]")
    unchanged_after(landing, file, "record 2 is about somebody else", is_theirs=lambda text: json.loads(text)["x"] != 0.25)


def test_positions_beyond_the_file_are_an_error(landing: Landing) -> None:
    unchanged_after(
        landing, landing.put("accelerometer/a.json", PLAIN), "2 of 3 positions are beyond its 5 records", [5, 6, 7]
    )


def test_a_file_that_changed_is_left_alone(landing: Landing) -> None:
    file = landing.put("accelerometer/a.json", PLAIN)
    put(landing.folder / "accelerometer/a.json", PLAIN + PLAIN)
    unchanged_after(landing, file, "changed after it was listed")


def test_a_file_that_changes_meanwhile_is_left_alone(landing: Landing) -> None:
    file = landing.put("accelerometer/a.json", PLAIN)

    def change(text: str) -> bool:
        put(landing.folder / "accelerometer/a.json", PLAIN + PLAIN)
        return True

    with pytest.raises(LandingError, match="changed after it was listed"):
        remove_records(file, ACCELEROMETER, [2], change, scratch=landing.scratch)
    assert Path(file.path).read_bytes() == PLAIN + PLAIN
    assert landing.files() == {"accelerometer", "accelerometer/a.json"}


def test_a_full_disk_leaves_the_file(small_disk: Path, tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    landing.folder = small_disk / "landing"
    file = landing.put("accelerometer/a.json", PLAIN * 5000)
    unchanged_after(landing, file, "No space left on device; make room")


def test_without_permission_the_file_stays(landing: Landing) -> None:
    landing.put("accelerometer/ann@x.org.json", PLAIN)
    with read_only(landing.folder):
        unchanged_after(landing, landing.file(), "Permission denied; grant this user write access")


def test_the_draft_of_a_killed_erasure_is_deleted(landing: Landing) -> None:
    file = landing.put("accelerometer/a.json", PLAIN)
    for folder in ("accelerometer", "accelerometer/deep/er"):
        put(landing.folder / folder / ".stedi-erasure.draft", PLAIN)
    assert list_files(str(landing.folder), ACCELEROMETER) == [file]
    remove_records(file, ACCELEROMETER, [1], lambda text: True, scratch=landing.scratch)
    assert not (landing.folder / "accelerometer/.stedi-erasure.draft").exists()
    assert delete_drafts(landing.folder) == 1
    assert landing.files() == {"accelerometer", "accelerometer/a.json", "accelerometer/deep", "accelerometer/deep/er"}


def test_any_file_below_the_landing_folder_can_be_removed(landing: Landing, tmp_path: Path) -> None:
    put(landing.folder / "accelerometer/_temporary/0/part", PLAIN)
    put(tmp_path / "outside", PLAIN)
    (landing.folder / "link").symlink_to(tmp_path)
    remove_file(str(landing.folder), "accelerometer/_temporary/0/part")
    assert "accelerometer/_temporary/0/part" not in landing.files()
    for name in ("../outside", "link/outside"):
        with pytest.raises(LandingError, match="not below the landing folder"):
            remove_file(str(landing.folder), name)
    assert (tmp_path / "outside").read_bytes() == PLAIN
