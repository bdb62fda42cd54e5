"""Every layout that the real writers use gives the same records; what is broken is kept apart."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Lake, reading

RECORDS = [reading("ada@x.org", 1000 + i, x=i / 4) for i in range(5)]
LINES = [json.dumps(record).encode() for record in RECORDS]
PLAIN = b"\n".join(LINES) + b"\n"
LANDED = 'SELECT "user", timeStamp, x, y, z, source_position FROM accelerometer_landing ORDER BY ALL'
EXPECTED = [("ada@x.org", 1000 + i, i / 4, 0.0, 1.0, i + 1) for i in range(5)]

LAYOUTS = {
    "lines.json": PLAIN,
    "no-last-newline.json": PLAIN[:-1],
    "crlf.jsonl": PLAIN.replace(b"\n", b"\r\n"),
    "byte-order-mark.ndjson": b"\xef\xbb\xbf" + PLAIN,
    "array.json": b"[" + b",".join(LINES) + b"]",
    "array-of-lines.json": b"[\n" + b",\n".join(LINES) + b"\n]\n",
    "pretty.json": json.dumps(RECORDS, indent=2).encode(),
    "back-to-back.json": b"".join(LINES),
    "some-back-to-back.json": LINES[0] + LINES[1] + b"\n" + LINES[2] + b"\n" + LINES[3] + LINES[4],
    "trailing-commas.json": b",\n".join(LINES) + b",\n",
    "blank-lines.json": b"\n\n".join(LINES) + b"\n\n",
    "zipped.json.gz": gzip.compress(PLAIN),
    "zipped-array.json.gz": gzip.compress(b"[" + b",".join(LINES) + b"]"),
    "other-case.json": PLAIN.replace(b"timeStamp", b"TIMESTAMP").replace(b'"x"', b'"X"'),
    "mixed-case.json": LINES[0] + b"\n" + PLAIN[len(LINES[0]) + 1 :].replace(b"timeStamp", b"timestamp"),
    "numbers-as-strings.json": "".join(
        json.dumps({k: str(v) if k != "user" else v for k, v in record.items()}) + "\n" for record in RECORDS
    ).encode(),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_rows(lake: Lake, name: str) -> None:
    lake.land(f"accelerometer/deep/er/{name}", LAYOUTS[name])
    report = lake.run()
    assert lake.rows(LANDED) == EXPECTED
    assert report.quarantined["accelerometer"] == 0


def test_an_empty_file_and_an_empty_folder_give_no_rows(lake: Lake) -> None:
    lake.land("accelerometer/empty.json", b"")
    lake.land("accelerometer/blank.json", b" \n\n")
    (lake.landing / "customers").mkdir()
    lake.run()
    assert lake.rows("SELECT count(*) FROM accelerometer_landing") == [(0,)]
    assert {table.status for table in lake.run().tables.values()} == {"up to date"}


def test_file_names_may_hold_any_character(lake: Lake) -> None:
    lake.land("accelerometer/it's [a] *new* file?.json", PLAIN)
    lake.land("accelerometer/it's a other new file.json", PLAIN)
    lake.run()
    assert lake.rows("SELECT count(*), count(DISTINCT source_file) FROM accelerometer_landing") == [(10, 2)]


def test_unknown_keys_are_kept_with_their_values(lake: Lake) -> None:
    lake.land("accelerometer/a.json", [RECORDS[0], {**RECORDS[1], "app": {"version": [2, "β"]}}])
    lake.run()
    [(first,), (second,)] = lake.rows("SELECT extra_fields FROM accelerometer_landing ORDER BY source_position")
    assert first is None
    assert json.loads(second) == {"app": {"version": [2, "β"]}}


BROKEN = {
    "not_json": b'{"user": "a", "timeStamp": 1, "x": }',
    "not_an_object": b'"just text"',
    "user_missing": b'{"timeStamp": 1, "x": 0, "y": 0, "z": 0}',
    "x_missing": b'{"user": "a", "timeStamp": 1, "x": null, "y": 0, "z": 0}',
    "x_not_a_number": b'{"user": "a", "timeStamp": 1, "x": "north", "y": 0, "z": 0}',
    "y_not_a_number": b'{"user": "a", "timeStamp": 1, "x": 0, "y": true, "z": 0}',
    "z_not_finite": b'{"user": "a", "timeStamp": 1, "x": 0, "y": 0, "z": 1e999}',
    "timeStamp_not_milliseconds": b'{"user": "a", "timeStamp": 1.5, "x": 0, "y": 0, "z": 0}',
    "timeStamp_given_twice": b'{"user": "a", "timeStamp": 1, "timestamp": 2, "x": 0, "y": 0, "z": 0}',
    "user_not_text": b'{"user": ["a"], "timeStamp": 1, "x": 0, "y": 0, "z": 0}',
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_record_is_quarantined_with_its_place_and_reason_and_the_rest_is_kept(lake: Lake, reason: str) -> None:
    lake.land("accelerometer/a.json", b"\n".join([*LINES[:2], BROKEN[reason], *LINES[2:]]))
    lake.run()
    assert lake.rows("SELECT feed, source_file, source_position, raw_record, reason FROM quarantine") == [
        ("accelerometer", "accelerometer/a.json", 3, BROKEN[reason].decode(), reason)
    ]
    assert [row[:5] for row in lake.rows(LANDED)] == [row[:5] for row in EXPECTED]


def test_an_upload_that_broke_off_loses_only_its_last_record(lake: Lake) -> None:
    lake.land("accelerometer/a.json", PLAIN[:-20])
    lake.land("accelerometer/b.json.gz", gzip.compress(PLAIN * 50)[:-40])
    lake.run()
    reasons = lake.rows("SELECT source_file, reason FROM quarantine ORDER BY source_file, source_position")
    assert reasons[0] == ("accelerometer/a.json", "unfinished_record")
    assert reasons[-1] == ("accelerometer/b.json.gz", "broken_gzip")
    assert lake.rows("SELECT count(*) FROM accelerometer_landing WHERE source_file = 'accelerometer/a.json'") == [(4,)]


def test_bytes_that_are_no_text_are_quarantined_in_readable_form(lake: Lake) -> None:
    lake.land("accelerometer/a.json", PLAIN + b'{"user": "\xff", "timeStamp": 1, "x": 0, "y": 0, "z": 0}\n')
    lake.run()
    [(raw, reason)] = lake.rows("SELECT raw_record, reason FROM quarantine")
    assert reason == "not_utf8"
    assert "\\udcff" in raw or "\\xff" in raw


def test_an_unreadable_consent_is_no_consent_and_its_value_is_kept(lake: Lake) -> None:
    record = {"email": "a@x", "lastUpdateDate": 5, "shareWithResearchAsOfDate": "gladly"}
    lake.land("customer/a.json", [record])
    lake.run()
    assert lake.rows("SELECT shareWithResearchAsOfDate, extra_fields FROM customer_landing") == [
        (None, '{"shareWithResearchAsOfDate": "gladly"}')
    ]


SEPARATORS = st.sampled_from([b"\n", b"", b",\n", b"\r\n", b" , ", b"\n\n"])
PIECES = st.one_of(
    st.sampled_from(LINES),
    st.sampled_from(list(BROKEN.values())),
    st.builds(lambda line, cut: line[:cut], st.sampled_from(LINES), st.integers(1, 40)),
    st.binary(min_size=1, max_size=12).filter(lambda b: b.strip(b" \t\r\n,[]\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0")),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.tuples(PIECES, SEPARATORS), max_size=12))
def test_records_are_landing_rows_plus_quarantined_rows_for_any_file(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[bytes, bytes]]
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    content = b"".join(piece + separator for piece, separator in pieces)
    lake.land("accelerometer/a.json", content)
    lake.run()
    positions = [
        row[0]
        for row in lake.rows(
            "SELECT source_position FROM accelerometer_landing UNION ALL SELECT source_position FROM quarantine ORDER BY 1"
        )
    ]
    assert positions == list(range(1, len(positions) + 1))
    if content.strip(b" \t\r\n,[]"):
        assert positions
