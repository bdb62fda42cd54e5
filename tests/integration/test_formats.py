"""All layouts of real writers give the same records, and unreadable text goes to quarantine."""

import bz2
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi.compute.duckdb import DuckDBBackend
from stedi.ingest.compression import detect_other_format
from stedi.ingest.scanner import scan_records
from tests.support.lake import T0, Lake, customer, reading
from tests.support.landing import LandingFolder
from tests.support.layouts import GOOD, INNER, LAYOUTS, LINES, LISTED, PLAIN, RECORDS, UNUSUAL


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[LandingFolder]:
    with DuckDBBackend(scratch=tmp_path, threads=1) as engine:
        yield LandingFolder(tmp_path, engine)


LANDED = 'SELECT "user", timeStamp, x, y, z, source_position FROM accelerometer_landing ORDER BY ALL'
EXPECTED = [("ada@x.org", T0 + 1000 + i, i / 4, 0.0, 1.0, i + 1) for i in range(5)]


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_rows(landing: LandingFolder, name: str) -> None:
    landing.land(f"accelerometer/deep/er/{name}", LAYOUTS[name])
    report = landing.run(select=["accelerometer_landing"])
    assert landing.rows(LANDED) == EXPECTED
    assert report.quarantined["accelerometer"] == 0


@pytest.mark.parametrize(
    "folder", ["file_index=7", "json={}", "json=5", 'json={"user":"e","timeStamp":1640995200007,"x":1,"y":1,"z":1}']
)
def test_a_folder_named_like_a_column_has_no_effect(landing: LandingFolder, folder: str) -> None:
    landing.land(f"accelerometer/{folder}/a.json", PLAIN)
    landing.run(select=["accelerometer_landing"])
    assert landing.rows(LANDED) == EXPECTED
    assert landing.rows("SELECT DISTINCT source_file FROM accelerometer_landing") == [(f"accelerometer/{folder}/a.json",)]


@pytest.mark.parametrize("byte", [b"x", b"{", b"\0", b"\x7f", b"5"])
def test_a_file_of_one_byte_is_a_broken_record(landing: LandingFolder, byte: bytes) -> None:
    landing.land("accelerometer/a.json", byte)
    assert landing.run().quarantined["accelerometer"] == 1


def test_a_compressed_file_with_a_wrong_checksum_is_not_trusted(landing: LandingFolder) -> None:
    packed = bytearray(gzip.compress(PLAIN, 0))
    packed[packed.find(b"0.25")] = ord("7")
    landing.land("accelerometer/a.json.gz", bytes(packed))
    landing.run()
    assert "broken_gzip" in [reason for (reason,) in landing.rows("SELECT reason FROM quarantine")]


@pytest.mark.parametrize("blanks", ["", " ", "\t", "\r", "\r ", " \r"])
@pytest.mark.parametrize("layout", ["{}\n", "[{}]\n"])
def test_a_comma_before_the_end_is_not_json(landing: LandingFolder, blanks: str, layout: str) -> None:
    record = LINES[0][:-1].decode() + f",{blanks}}}"
    landing.land("accelerometer/a.json", layout.replace("{}", record).encode())
    landing.run()
    assert landing.rows("SELECT reason FROM quarantine") == [("not_json",)]


def test_an_empty_file_and_an_empty_folder_give_no_rows(lake: Lake) -> None:
    lake.land("accelerometer/empty.json", b"")
    lake.land("accelerometer/blank.json", b" \n\n")
    (lake.landing / "customers").mkdir()
    lake.run()
    assert lake.rows("SELECT count(*) FROM accelerometer_landing") == [(0,)]
    assert {table.status for table in lake.run().tables.values()} == {"up to date"}


@pytest.mark.parametrize("inside", ["lake", "$lake"])
def test_file_names_may_contain_any_character(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).mkdir()
    lake = Lake(tmp_path / inside)
    names = ["it's [a] *new* file?.json", "it's a other new file.json", "$consent_policy it's $a.json"]
    for content, rows in ((PLAIN, 15), (PLAIN + PLAIN, 30)):
        for name in names:
            lake.land(f"accelerometer/{name}", content)
        lake.run()
        found = lake.rows("SELECT count(*), count(DISTINCT source_file) FROM accelerometer_landing")
        assert found == [(rows, len(names))]


def test_hidden_files_are_skipped(landing: LandingFolder) -> None:
    for name in (
        *(".a.json", ".partial/a.json", "b/.partial/c/a.json", "b/c/a.json", "_temporary/0/part-0.json", "_SUCCESS"),
        *("b/_delta_log/0.json", "_spark_metadata/0", "a.json._COPYING_", "a.json.crc", ".a.json.crc"),
    ):
        landing.land(f"accelerometer/{name}", PLAIN)
    landing.run(select=["accelerometer_landing"])
    assert landing.rows("SELECT DISTINCT source_file FROM accelerometer_landing") == [("accelerometer/b/c/a.json",)]


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


@pytest.mark.parametrize("ending", PACK)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1), members=st.lists(st.integers(1, 40), min_size=1, max_size=4), is_end=st.booleans())
def test_rows_of_a_damaged_file_land_in_its_order(
    landing: LandingFolder, ending: str, cut: float, members: list[int], is_end: bool
) -> None:
    """Of a file that is cut, or lacks some bytes in the middle."""
    numbers = iter(range(sum(members)))
    parts = ["".join(json.dumps(reading("ada@x.org", next(numbers))) + "\n" for _ in range(size)) for size in members]
    packed = [PACK[ending](part.encode()) for part in parts]
    at = max(3, int(sum(map(len, packed)) * cut))
    content = b"".join(packed)
    landing.land(f"accelerometer/a.json.{ending}", content[:at] + (b"" if is_end else content[at + 9 :]))
    landing.run()
    times = [at for (at,) in landing.rows("SELECT timeStamp FROM accelerometer_landing ORDER BY source_position")]
    damages = landing.rows("SELECT reason FROM quarantine WHERE raw_record LIKE '%damaged at byte%'")
    whole = [count for count in range(len(members) + 1) if sum(map(len, packed[:count])) <= at]
    assert times[: sum(members[: whole[-1]])] == [T0 + at for at in range(sum(members[: whole[-1]]))]
    if is_end:
        assert times == [T0 + at for at in range(len(times))]
        assert landing.rows("SELECT count(*) FROM quarantine") == [(len(damages),)]
    if at < len(content) and not (is_end and at in [sum(map(len, packed[:count])) for count in whole]):
        # A member that lacks bytes near its end takes those of the next one for its checksum: both are damaged.
        assert 1 <= len(damages) <= (1 if is_end else 2)


@pytest.mark.parametrize("content", [b"PAR1 and more", b"PK\x03\x04", b"\x04\x22\x4d\x18", b"Obj\x01"])
def test_a_file_of_another_format_is_skipped(landing: LandingFolder, content: bytes) -> None:
    landing.land("accelerometer/a.json", content)
    landing.land("accelerometer/b", content)
    assert landing.run().quarantined["accelerometer"] == 0
    assert landing.rows("SELECT count(*) FROM accelerometer_landing") == [(0,)]


def test_unknown_keys_are_kept_with_their_values(landing: LandingFolder) -> None:
    landing.land("accelerometer/a.json", [RECORDS[0], {**RECORDS[1], "app": {"version": [2, "β"]}}])
    landing.run()
    [(first,), (second,)] = landing.rows("SELECT extra_fields FROM accelerometer_landing ORDER BY source_position")
    assert first is None
    assert json.loads(second) == {"app": {"version": [2, "β"]}}


BROKEN = {
    "not_json": b'{"user": "a", "timeStamp": 1640995200001, "x": }',
    "not_an_object": b'"just text"',
    "user_missing": b'{"timeStamp": 1640995200001, "x": 0, "y": 0, "z": 0}',
    "x_missing": b'{"user": "a", "timeStamp": 1640995200001, "x": null, "y": 0, "z": 0}',
    "x_not_a_number": b'{"user": "a", "timeStamp": 1640995200001, "x": "north", "y": 0, "z": 0}',
    "y_not_a_number": b'{"user": "a", "timeStamp": 1640995200001, "x": 0, "y": true, "z": 0}',
    "z_not_finite": b'{"user": "a", "timeStamp": 1640995200001, "x": 0, "y": 0, "z": 1e999}',
    "timeStamp_not_milliseconds": b'{"user": "a", "timeStamp": 1640995200001.5, "x": 0, "y": 0, "z": 0}',
    "timeStamp_given_twice": b'{"user":"a","timeStamp":1640995200001,"timestamp":1640995200002,"x":0,"y":0,"z":0}',
    "user_not_text": b'{"user": ["a"], "timeStamp": 1640995200001, "x": 0, "y": 0, "z": 0}',
}


@pytest.mark.parametrize("reason", BROKEN)
def test_an_unreadable_record_is_quarantined_with_position_and_reason_and_the_others_land(
    landing: LandingFolder, reason: str
) -> None:
    landing.land("accelerometer/a.json", b"\n".join([*LINES[:2], BROKEN[reason], *LINES[2:]]))
    landing.run(select=["accelerometer_landing", "quarantine"])
    assert landing.rows("SELECT feed, source_file, source_position, raw_record, reason FROM quarantine") == [
        ("accelerometer", "accelerometer/a.json", 3, BROKEN[reason].decode(), reason)
    ]
    assert [row[:5] for row in landing.rows(LANDED)] == [row[:5] for row in EXPECTED]


def test_an_interrupted_upload_loses_only_its_last_record(landing: LandingFolder) -> None:
    landing.land("accelerometer/a.json", PLAIN[:-20])
    landing.land("accelerometer/b.json.gz", gzip.compress(PLAIN * 50)[:-40])
    landing.run()
    reasons = landing.rows("SELECT source_file, reason FROM quarantine ORDER BY source_file, source_position")
    assert reasons[0] == ("accelerometer/a.json", "unfinished_record")
    assert reasons[-1] == ("accelerometer/b.json.gz", "broken_gzip")
    assert landing.rows("SELECT count(*) FROM accelerometer_landing WHERE source_file = 'accelerometer/a.json'") == [(4,)]


def test_bytes_that_are_not_text_are_quarantined_in_readable_form(landing: LandingFolder) -> None:
    landing.land("accelerometer/a.json", PLAIN + b'{"user": "\xff", "timeStamp": 1640995200001, "x": 0, "y": 0, "z": 0}\n')
    landing.run()
    [(raw, reason)] = landing.rows("SELECT raw_record, reason FROM quarantine")
    assert reason == "not_utf8"
    assert "\\udcff" in raw or "\\xff" in raw


def test_an_unreadable_date_of_consent_is_no_consent_and_stays_in_extra_fields(landing: LandingFolder) -> None:
    record = {"email": "a@x", "lastUpdateDate": T0, "shareWithResearchAsOfDate": "gladly"}
    landing.land("customer/a.json", [record])
    landing.run()
    assert landing.rows("SELECT shareWithResearchAsOfDate, extra_fields FROM customer_landing") == [
        (None, '{"shareWithResearchAsOfDate": "gladly"}')
    ]


@pytest.mark.parametrize("chunk_bytes", [1, 5, 100, 1 << 20])
@pytest.mark.parametrize("name", LISTED)
def test_an_object_within_an_unreadable_record_is_no_record(tmp_path: Path, name: str, chunk_bytes: int) -> None:
    (tmp_path / "a.json").write_text("".join(text for text, _ in LISTED[name]))
    found = [(each.text, each.reason is None) for each in scan_records(tmp_path / "a.json", chunk_bytes=chunk_bytes)]
    assert found == [(text, is_record) for text, is_record in LISTED[name] if is_record is not None]


def test_many_unreadable_records_are_separate_rows_at_any_position(tmp_path: Path) -> None:
    # Far more than what is kept of the text behind them.
    lines = [f"  {{'user': 'a', 'timeStamp': {number}}}" for number in range(3000)]
    (tmp_path / "a.json").write_text("\n".join(lines))
    assert [each.text for each in scan_records(tmp_path / "a.json")] == [line.strip() for line in lines]


def test_a_consent_within_an_unreadable_record_is_no_consent(lake: Lake) -> None:
    past = [customer("ann@x", 5), customer("ann@x", 7, shares=2)]
    record = json.dumps(customer("ann@x", 9, previous=[*past, *past]))
    lake.land("customer/a.json", record[:-20].encode())
    lake.run()
    assert lake.rows("SELECT count(*) FROM customer_landing") == lake.rows("SELECT count(*) FROM customer_trusted") == [(0,)]
    assert lake.rows("SELECT reason FROM quarantine") == [("unfinished_record",)]


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_file_gives_what_can_be_read_and_the_rest_is_numbered_and_named(
    landing: LandingFolder, name: str
) -> None:
    content, expected = UNUSUAL[name]
    landing.land(f"accelerometer/{name}", content)
    landing.run(select=["accelerometer_landing", "quarantine"])
    found = landing.rows(
        f"SELECT source_position, '{GOOD}' FROM accelerometer_landing "
        "UNION ALL SELECT source_position, reason FROM quarantine ORDER BY 1"
    )
    assert found == list(enumerate(expected, start=1))


# Files in which the engine could take each line that is an object for a record.
ONE_A_LINE = {
    "torn envelope": f'{{"email":"a","audit":[\n{INNER},\n{INNER}\n',
    "torn behind a comma": f'{{"email":"a","audit":[\n{INNER},\n{INNER},\n',
    "torn behind short records": f'{INNER}\n{{"email":"a","audit":[\n{INNER},\n{INNER}\n',
    "torn within an object": f'{{"email":"a","audit":[{{"old":[\n{INNER},\n{INNER}',
    "whole envelope": f'{{"email":"a","audit":[\n{INNER},\n{INNER}\n]}}\n',
    "broken envelope": f'{{"email":NaN,"audit":[\n{INNER},\n{INNER}\n]}}\n{INNER}\n',
    "cut line": f'{{"email":"a","audit":[\n{INNER}\n{INNER}\n',
    "cut line behind a colon": f'{{"email":\n{INNER}\n',
    "the end of an envelope": f"{INNER},\n{INNER}\n]}}\n",
    "a bracket behind": f"{INNER}}}\n{INNER}]\n",
    "an open comment": f'{{"email":"a", /*\n{INNER}\n*/}}\n',
}


def test_the_fast_path_accepts_no_line_that_the_scanner_refuses(landing: LandingFolder) -> None:
    for name, text in ONE_A_LINE.items():
        landing.land(f"accelerometer/{name}.json", text.encode())
    landing.run(select=["accelerometer_landing", "quarantine"])
    for name in ONE_A_LINE:
        file = landing.landing / f"accelerometer/{name}.json"
        expected = [each.reason or ("landed" if each.text == INNER else "user_missing") for each in scan_records(file)]
        found = landing.rows(
            f"SELECT source_position, 'landed' FROM accelerometer_landing WHERE source_file = 'accelerometer/{name}.json' "
            "UNION ALL SELECT source_position, reason FROM quarantine "
            f"WHERE source_file = 'accelerometer/{name}.json' ORDER BY 1"
        )
        assert found == list(enumerate(expected, start=1)), name
        assert ("torn" in name) == ("unfinished_record" in expected)


def test_a_folder_named_like_a_file_is_a_folder(landing: LandingFolder) -> None:
    landing.land("accelerometer/x.json/a.json", PLAIN)
    landing.run(select=["accelerometer_landing"])
    assert landing.rows("SELECT DISTINCT source_file FROM accelerometer_landing") == [("accelerometer/x.json/a.json",)]


def test_texts_land_unchanged(landing: LandingFolder) -> None:
    texts = ["a\0b", "line\nline\r\n", '"quoted" \\', "  blanks\t", "\U0001f600 é e\u0301", "x" * 100_000]
    landing.land("accelerometer/a.json", [reading(text, number) for number, text in enumerate(texts)])
    landing.run(select=["accelerometer_landing"])
    assert [text for (text,) in landing.rows('SELECT "user" FROM accelerometer_landing ORDER BY timeStamp')] == texts


def test_a_number_too_large_for_a_float_stays_as_received(landing: LandingFolder) -> None:
    landing.land("accelerometer/a.json", LINES[0][:-1] + b', "app": 1e400}\n')
    landing.run(select=["accelerometer_landing"])
    assert landing.rows("SELECT extra_fields FROM accelerometer_landing") == [('{"app": "1e400"}',)]


SEPARATORS = st.sampled_from([b"\n", b"", b",\n", b"\r\n", b" , ", b"\n\n"])
PIECES = st.one_of(
    st.sampled_from(LINES),
    st.sampled_from(list(BROKEN.values())),
    st.builds(lambda line, cut: line[:cut], st.sampled_from(LINES), st.integers(1, 40)),
    st.binary(min_size=1, max_size=12).filter(lambda b: b.strip(b" \t\r\n,[]\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0")),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.tuples(PIECES, SEPARATORS), max_size=12))
def test_records_are_landing_rows_plus_quarantined_rows_for_any_file(
    landing: LandingFolder, pieces: list[tuple[bytes, bytes]]
) -> None:
    content = b"".join(piece + separator for piece, separator in pieces)
    landing.land("accelerometer/a.json", content)
    landing.run(select=["accelerometer_landing", "quarantine"])
    positions = [
        row[0]
        for row in landing.rows(
            "SELECT source_position FROM accelerometer_landing UNION ALL SELECT source_position FROM quarantine ORDER BY 1"
        )
    ]
    assert positions == list(range(1, len(positions) + 1))
    if content.strip(b" \t\r\n,[]") and not detect_other_format(content):
        assert positions
