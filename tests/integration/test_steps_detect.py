"""Detection in readings of any phone: file formats, order, gaps, rates, and windows that change no step."""

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMRegressor
from numpy.typing import NDArray

from stedi.compute.duckdb import reading_files
from stedi.config import Settings
from stedi.errors import LandingError, StediError, UsageError, WarehouseError
from stedi.model.progress import Progress
from stedi.model.resampling import RATE_HZ, SAMPLE_MS
from stedi.steps.detect.detection import detect, open_detection
from stedi.steps.detect.step_file import UserSteps, write_file, write_parquet
from stedi.steps.detect.windows import StepDetector, cut_windows
from stedi.steps.features.graph import FRAME_MS, RECEPTIVE_FIELD, STRIDE, compute_features
from stedi.steps.model.fit import FittedDetector
from stedi.steps.model.onnx_detector import FILE_NAME, OnnxDetector
from stedi.steps.model.onnx_export import export_onnx
from stedi.steps.model.peaks import PeakPicker
from tests.support.program import stedi

START = 1_600_000_000_000
Row = tuple[str, int, float, float, float]


class XIsTheProbability:
    """A detector whose probability is x, so that readings decide where steps are."""

    picker = PeakPicker(0.5)

    def probability(self, acceleration: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(acceleration[::STRIDE, 0], np.float64)


def walk(user: str, steps: Sequence[int], *, until: int, every: float = SAMPLE_MS) -> list[Row]:
    """Readings from START on whose x rises to 1 at each step (ms from START)."""
    times = [round(k * every) for k in range(int(until / every) + 1)]
    return [(user, START + t, max((max(0.0, 1 - abs(t - s) / 200) for s in steps), default=0.0), 0.0, 1.0) for t in times]


def as_json(rows: Iterable[Row]) -> str:
    keys = ("user", "timeStamp", "x", "y", "z")
    return "".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows)


def as_csv(rows: Iterable[Row], header: str = "user,timeStamp,x,y,z") -> str:
    return header + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


def as_table(rows: Sequence[Row]) -> pa.Table:
    return pa.table(dict(zip(("user", "timeStamp", "x", "y", "z"), map(list, zip(*rows, strict=True)), strict=True)))


def detect_with(*files: Path, detector: StepDetector | None = None) -> dict[str, list[int]]:
    steps: dict[str, list[int]] = {}
    with open_detection(files, detector or XIsTheProbability(), Settings()) as detection:
        for part in detection.steps:
            steps.setdefault(part.user, []).extend(part.steps_ms.tolist())
    return steps


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


STEPS = [2_000, 2_600, 3_240]
THERE = [START + step for step in STEPS]


def packed(text: str) -> bytes:
    # Without the time, which would give the tests of each worker another name.
    return gzip.compress(text.encode(), mtime=0)


FORMS: dict[str, Callable[[list[Row]], str | bytes]] = {
    "lines.json": as_json,
    "no_ending": as_json,
    "array.json": lambda rows: "[" + as_json(rows).strip().replace("\n", ",\n") + "]",
    "back_to_back.json": lambda rows: as_json(rows).replace("\n", ""),
    "packed.json.gz": lambda rows: packed(as_json(rows)),
    "small_keys.jsonl": lambda rows: as_json(rows).replace("timeStamp", "timestamp"),
    "table.csv": as_csv,
    "packed.csv.gz": lambda rows: packed(as_csv(rows)),
    "packed_unsaid.csv": lambda rows: packed(as_csv(rows)),
    "semicolons.csv": lambda rows: as_csv(rows).replace(",", ";"),
    "from_excel.csv": lambda rows: "\ufeff" + as_csv(rows, "User,TIMESTAMP,X,Y,Z").replace("\n", "\r\n"),
    "quoted.csv": lambda rows: as_csv((f'"{user}"', f'" {at} "', x, y, z) for user, at, x, y, z in rows),  # type: ignore[misc]
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_file_gives_the_same_steps(name: str, tmp_path: Path) -> None:
    rows = walk("a@x.y", STEPS, until=5_000)
    assert detect_with(put(tmp_path / name, FORMS[name](rows))) == {"a@x.y": THERE}


KINDS = [
    pa.int64(),
    pa.float64(),
    pa.string(),
    *(pa.timestamp(u, zone) for u in ("ms", "us", "ns") for zone in (None, "UTC")),
]


@pytest.mark.parametrize("kind", KINDS)
def test_parquet_with_times_of_any_type(kind: pa.DataType, tmp_path: Path) -> None:
    table = as_table(walk("a@x.y", STEPS, until=5_000))
    times = table["timeStamp"]
    if pa.types.is_timestamp(kind):
        times = times.cast(pa.timestamp("ms"))
    pq.write_table(table.set_column(1, "timestamp", times.cast(kind)), tmp_path / "any*name[1]")
    assert detect_with(tmp_path / "any*name[1]") == {"a@x.y": THERE}


def test_parquet_with_text_as_bytes(tmp_path: Path) -> None:
    table = as_table(walk("Jürgen", STEPS, until=5_000))
    pq.write_table(table.set_column(0, "user", table["user"].cast(pa.binary())), tmp_path / "a.parquet")
    assert detect_with(tmp_path / "a.parquet") == {"Jürgen": THERE}


@pytest.mark.parametrize(
    ("column", "value", "kind", "reason"),
    [
        ("user", b"\xfc", pa.binary(), "user_not_text"),
        ("user", ["a"], pa.list_(pa.string()), "user_not_text"),
        ("user", {"name": "a"}, pa.struct([("name", pa.string())]), "user_not_text"),
        ("x", True, pa.bool_(), "x_not_a_number"),
        ("x", [1.0], pa.list_(pa.float64()), "x_not_a_number"),
        ("timeStamp", True, pa.bool_(), "timeStamp_not_a_number"),
        ("timeStamp", 2**62, pa.timestamp("us"), "timeStamp_not_milliseconds"),
    ],
)
def test_parquet_with_a_column_of_another_type(
    column: str, value: object, kind: pa.DataType, reason: str, tmp_path: Path
) -> None:
    table = as_table([("a", START, 0.0, 0.0, 1.0)])
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, pa.array([value], kind)), tmp_path / "a.parquet")
    with pytest.raises(LandingError, match=rf"none of the 1 rows of .*a\.parquet is a reading \({reason} 1\)"):
        detect_with(tmp_path / "a.parquet")


def test_order_repeats_and_interleaved_people_change_nothing(tmp_path: Path) -> None:
    one, other = walk("a", STEPS, until=5_000), walk("b", [1_400], until=4_000)
    rows = [*one, *other, *one[::3]]
    random.Random(1).shuffle(rows)
    half = len(rows) // 2
    files = put(tmp_path / "1.csv", as_csv(rows[:half])), put(tmp_path / "2.json", as_json(rows[half:]))
    assert detect_with(*files) == {"a": THERE, "b": [START + 1_400]}


def test_two_spellings_of_a_person_are_one_user_under_the_first(tmp_path: Path) -> None:
    rows = walk("Ann@x.y", STEPS, until=5_000)
    mixed = [(user if number % 2 == 0 else " ann@X.y ", *rest) for number, (user, *rest) in enumerate(rows)]
    assert detect_with(put(tmp_path / "a.json", as_json(mixed))) == {"Ann@x.y": THERE}  # type: ignore[arg-type]


def test_a_gap_separates_stretches_and_contains_no_steps(tmp_path: Path) -> None:
    rows = [row for row in walk("a", [2_000, 5_000, 8_000], until=10_000) if not START + 4_000 < row[1] < START + 6_000]
    assert detect_with(put(tmp_path / "a.csv", as_csv(rows))) == {"a": [START + 2_000, START + 8_000]}


@pytest.mark.parametrize("rate", [15, 37, 100, 400])
def test_any_rate_from_15_to_400_hz(rate: int, tmp_path: Path) -> None:
    rows = walk("a", STEPS, until=5_000, every=1_000 / rate)
    assert detect_with(put(tmp_path / "a.csv", as_csv(rows)))["a"] == pytest.approx(THERE, abs=40, rel=0)


def test_files_without_readings_have_no_steps(tmp_path: Path) -> None:
    empty, blank, header = put(tmp_path / "e.json", ""), put(tmp_path / "b.csv", " \n"), put(tmp_path / "h.csv", as_csv([]))
    assert detect_with(empty, blank, header) == {}
    pq.write_table(as_table(walk("a", [], until=0)).slice(0, 0), tmp_path / "e.parquet")
    assert detect_with(tmp_path / "e.parquet") == {}


def test_progress_counts_files_and_windows(tmp_path: Path) -> None:
    files = [put(tmp_path / f"{user}.csv", as_csv(walk(user, STEPS, until=5_000))) for user in "ab"]
    reports: list[Progress] = []
    with open_detection(files, XIsTheProbability(), Settings(), reports.append) as detection:
        assert len(list(detection.steps)) == 4
    assert [(report.done, report.total) for report in reports if report.unit == "files"] == [(0, 2), (1, 2)]
    assert [(report.done, report.total) for report in reports if report.unit == "windows"] == [(0, None), (1, None)]


def test_users_with_too_few_readings_have_no_steps(tmp_path: Path) -> None:
    rows = [*walk("b", STEPS, until=5_000), ("a", START, 1.0, 0.0, 0.0), ("c", START, 1.0, 0.0, 0.0)]
    assert list(detect_with(put(tmp_path / "a.csv", as_csv(rows))).items()) == [("a", []), ("b", THERE), ("c", [])]


def test_users_without_an_uninterrupted_second_are_counted(tmp_path: Path) -> None:
    # One reading a second, and half of every second, which leaves gaps of 0.5 s.
    slow = walk("slow", STEPS, until=60_000, every=1_000)
    broken = [row for row in walk("broken", STEPS, until=60_000) if (row[1] - START) % 1_000 <= 500]
    file = put(tmp_path / "a.csv", as_csv([*slow, *broken, *walk("sound", STEPS, until=5_000)]))
    with open_detection([file], XIsTheProbability(), Settings()) as detection:
        assert detection.users == 0
        assert len({part.user for part in detection.steps}) == 3
        assert (detection.users, detection.users_without_second) == (3, 2)


def test_users_without_gravity_are_counted(tmp_path: Path) -> None:
    def turned_about(user: str, every_ms: int) -> list[Row]:
        """Gravity along z, and along x in turn, so that within a minute nothing of it may be left but its length."""
        sides = [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)]
        return [
            (user, at, x, 0.0, z)
            for user, at, *_ in walk(user, [], until=60_000)
            for x, z in [sides[(at - START) // every_ms % 4]]
        ]

    # Without gravity the steps' pushes are made up for between them; at rest only an offset is left.
    pushes = [(user, at, x - 0.3, 0.0, 0.0) for user, at, x, *_ in walk("none", range(300, 30_000, 600), until=30_000)]
    rest = [("none", START + at, 0.01, 0.0, 0.0) for at in range(30_020, 200_000, SAMPLE_MS)]
    file = put(
        tmp_path / "a.csv", as_csv([*pushes, *rest, *turned_about("turned", 7_500), *walk("held", STEPS, until=5_000)])
    )
    with open_detection([file], XIsTheProbability(), Settings()) as detection:
        assert len({part.user for part in detection.steps}) == 3
        assert (detection.users, detection.users_without_gravity) == (3, 1)


def test_times_in_seconds_are_refused(tmp_path: Path) -> None:
    rows = [(user, at // 1_000, x, y, z) for user, at, x, y, z in walk("a@secret.org", STEPS, until=60_000)]
    with pytest.raises(LandingError, match=r"1 of 2 users .* in seconds") as refused:
        detect_with(put(tmp_path / "a.csv", as_csv([*rows, *walk("b", STEPS, until=5_000)])))
    assert "secret" not in str(refused.value)
    # Many retries of a moment are none.
    again = walk("a", STEPS, until=5_000) + [("a", START, 0.0, 0.0, 1.0)] * 200
    assert detect_with(put(tmp_path / "a.csv", as_csv(again))) == {"a": THERE}


def test_a_long_recording_gives_what_its_parts_give_in_little_memory(tmp_path: Path) -> None:
    """Two hours of two people at 100 Hz in disorder, 1.4 million readings, which 60 MB do not hold."""
    file, minutes = tmp_path / "long.parquet", 120
    duckdb.sql(
        f"""COPY (
            SELECT user, {START} + t AS timeStamp, greatest(0, 1 - abs(t % 700 - 350) / 200)::DOUBLE AS x,
                random() AS y, 1.0::DOUBLE AS z
            FROM (SELECT unnest(range(0, {minutes} * 60_000, 10)) AS t), (SELECT unnest(['a', 'b']) AS user)
            ORDER BY hash(t)
        ) TO '{file}'"""
    )
    little = Settings.model_validate({"memory_limit": "60MB", "threads": 1})
    steps: dict[str, list[int]] = {}
    with open_detection([file], XIsTheProbability(), little) as detection:
        for part in detection.steps:
            assert len(part.steps_ms) < 20 * 60_000 / 700 + 2
            steps.setdefault(part.user, []).extend(part.steps_ms.tolist())
    # The grid of samples is 20 ms wide.
    times = np.arange(START + 350, START + minutes * 60_000, 700)
    for user in ("a", "b"):
        assert len(steps[user]) == pytest.approx(len(times), abs=1)
        assert np.abs(np.array(steps[user])[: len(times) - 1] - times[: len(steps[user])][: len(times) - 1]).max() <= 20
    half = tmp_path / "half.parquet"
    cut = START + minutes * 30_000
    duckdb.sql(f"COPY (FROM '{file}' WHERE timeStamp < {cut}) TO '{half}'")
    first = detect_with(half)
    assert {user: [at for at in steps[user] if at < cut - 10_000] for user in steps} == {
        user: [at for at in first[user] if at < cut - 10_000] for user in steps
    }


def test_parts_without_steps_are_not_kept_in_memory() -> None:
    parts = [UserSteps("a", np.array([n] if n % 7 == 0 else [], np.int64)) for n in range(1_000)]
    held = pa.BufferOutputStream()
    write_parquet(parts, held)
    assert pq.read_table(pa.BufferReader(held.getvalue()))["timeStamp"].to_pylist() == list(range(0, 1_000, 7))


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.parquet"])
def test_times_may_have_fractions_of_milliseconds(name: str, tmp_path: Path) -> None:
    exact = [
        (user, START + 15.625 * tick, *more)
        for tick, (user, _, *more) in enumerate(walk("a", STEPS, until=5_000, every=15.625))
    ]
    file = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(as_table(exact), file)  # type: ignore[arg-type]
    else:
        put(file, (as_csv if name.endswith("csv") else as_json)(exact))  # type: ignore[arg-type]
    with open_detection([file], XIsTheProbability(), Settings()) as detection:
        assert (detection.rows, detection.left_out) == (321, {})
    assert detect_with(file) == {"a": [pytest.approx(at, abs=SAMPLE_MS) for at in THERE]}


DIRTY: list[tuple[Any, ...]] = [
    ("a", START + 1, float("nan"), 0, 0),
    ("a", START + 2, 0, "fast", 0),
    ("a", START + 3, 0, 0, 2e6),
    ("", START + 4, 0, 0, 0),
    ("a", "", 0, 0, 0),
    ("a", -5, 0, 0, 0),
    ("a", START + 6, 0, 0, ""),
]
REASONS = {
    "y_not_a_number": 1,
    "z_out_of_range": 1,
    "user_missing": 1,
    "timeStamp_missing": 1,
    "timeStamp_not_milliseconds": 1,
    "z_missing": 1,
}


@pytest.mark.parametrize(
    ("name", "content", "reasons"),
    [
        (
            "a.csv",
            as_csv([*walk("a", STEPS, until=5_000), *DIRTY]) + "a,1\na,1,2,3,4,5\n",
            {"x_not_finite": 1, "not_csv": 2},
        ),
        # JSON does not know NaN.
        (
            "a.json",
            as_json([*walk("a", STEPS, until=5_000), *DIRTY]) + '{"user": "a"',
            {"not_json": 1, "unfinished_record": 1},
        ),
    ],
)
def test_rows_that_are_no_readings_are_left_out_and_counted(
    name: str, content: str, reasons: dict[str, int], tmp_path: Path
) -> None:
    file = put(tmp_path / name, content)
    with open_detection([file], XIsTheProbability(), Settings()) as detection:
        assert detection.left_out == REASONS | reasons
        assert detection.rows == 251 + sum(detection.left_out.values())
    assert detect_with(file) == {"a": THERE}


def left_out(*files: Path) -> tuple[int, Mapping[str, int]]:
    with open_detection(files, XIsTheProbability(), Settings()) as detection:
        return detection.rows, detection.left_out


# The engine looks at so many rows to learn what separates cells.
LOOKED_AT = 20_480


@pytest.mark.parametrize(
    ("row", "reason"),
    [("a,1,0,0,1," + 300 * "2", "not_csv"), ('"a,1,0,0,1', "within_quotes"), (b"\xfc,1,0,0,1", "not_utf8")],
    ids=["not_csv", "within_quotes", "not_utf8"],
)
def test_every_row_after_damage_is_counted(row: str | bytes, reason: str, tmp_path: Path) -> None:
    good = [f"a,{at},0,0,1\n" for at in range(LOOKED_AT + 30_009)]
    bad = (row.encode() if isinstance(row, str) else row) + b"\n"
    # An open quote takes good rows in; of refused rows beyond 8 MB the engine, in parallel, says nothing.
    rest = bad + "".join(good[LOOKED_AT + 10 :]).encode() if reason == "within_quotes" else bad * 30_000
    file = put(tmp_path / "a.csv", as_csv([]).encode() + "".join(good[: LOOKED_AT + 10]).encode() + rest)
    assert left_out(file) == (LOOKED_AT + 30_010, {reason: 30_000})


@pytest.mark.parametrize("piece", [1, 2, 7, 1 << 18])
def test_lines_within_quotes_are_counted_across_pieces_of_a_file(
    piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_files, "_CHUNK_BYTES", piece)
    text = 'user,timeStamp,x,y,z,note\r\na,1,0,0,1,"one\r\ntwo"\r\n\r\na,2,0,0,1,\r\n\r\n\r\na,3,0,0,1,"one"'
    assert left_out(put(tmp_path / "a.csv", text)) == (4, {"within_quotes": 1})
    assert left_out(put(tmp_path / "a.csv", text.replace("\r\n", "\n"))) == (4, {"within_quotes": 1})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "user,timeStamp,x,y\na@secret.org,1,2,3\n", "has no column z"),
        ("a.csv", "a@secret.org,1,2,3,4\n", "has no column user"),
        ("a.json", '{"user": "a@secret.org", "timeStamp": 1}\n' * 3, "none of the 3 rows of"),
        ("a.csv", "user,timeStamp,x,y,z\na@secret.org,today,2,3,4\n", "timeStamp_not_a_number 1"),
        ("a.csv", random.Random(1).randbytes(5_000), "a.csv"),
        ("a.csv", "user,timeStamp,x,y,z\r\n" + "a@secret.org,1,2,3,4\n" * 9, "lines have different endings"),
        (
            "a.csv",
            "user,timeStamp,x,y,z\na@secret.org,1,2,3,4\n".encode("utf-16"),
            "a.csv is UTF-16; write it again as UTF-8",
        ),
        ("a.json", '{"user": "a@secret.org"}'.encode("utf-16"), "a.json is UTF-16; write it again as UTF-8"),
        ("a.parquet", b"PAR1 a@secret.org", "a.parquet"),
        ("a.csv.gz", packed(as_csv(walk("a@secret.org", [], until=90_000)))[:-500], "a.csv.gz"),
    ],
)
def test_the_error_on_an_unreadable_file_is_one_line_without_its_content(
    name: str, content: str | bytes, says: str, tmp_path: Path
) -> None:
    with pytest.raises(LandingError) as refused:
        detect_with(put(tmp_path / name, content))
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.csv", tmp_path):
        with pytest.raises(LandingError, match="can't be read"):
            detect_with(path)
    with pytest.raises(UsageError, match="no file is given"):
        detect_with()


def batches(times: NDArray[np.int64], signal: NDArray[np.float32], cuts: Sequence[int]) -> Iterator[pa.RecordBatch]:
    rows = pa.record_batch(
        [np.zeros(len(times), np.int64), times, *(np.ascontiguousarray(axis) for axis in signal.T)],
        names=["number", "at_ms", "x", "y", "z"],
    )
    ends = sorted(({cut % len(times) for cut in cuts} - {0}) | {len(times)})
    begin = 0
    for end in ends:
        yield rows.slice(begin, end - begin)
        begin = end


def cut_up(detector: StepDetector, signal: NDArray[np.float32], cuts: Sequence[int], samples: int) -> list[int]:
    times = START + SAMPLE_MS * np.arange(len(signal))
    parts = [window.detect(detector) for window in cut_windows(batches(times, signal, cuts), samples)]
    return list(map(int, np.concatenate(parts)))


def whole(detector: StepDetector, signal: NDArray[np.float32]) -> list[int]:
    return list(map(int, np.rint(START + FRAME_MS * detector.picker.pick(detector.probability(signal)))))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    length=st.integers(1, 12_000),
    half=st.integers(1, 3_000),
    cuts=st.lists(st.integers(0, 12_000), max_size=6),
)
def test_windows_change_no_step(seed: int, length: int, half: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    signal = rng.random((length, 3), np.float32) * (rng.random((length, 1)) < 0.05)
    detector = XIsTheProbability()
    assert cut_up(detector, signal, cuts, 2 * half) == whole(detector, signal)


def test_windows_contain_only_what_they_need() -> None:
    signal = np.zeros((20_000, 3), np.float32)
    times = START + SAMPLE_MS * np.arange(len(signal))
    sizes = [len(window.acceleration) for window in cut_windows(batches(times, signal, [7, 9_000]), 500)]
    assert len(sizes) >= 30
    assert max(sizes) - 500 < 2 * (RECEPTIVE_FIELD + 2_000)


def gait(seed: int, seconds: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Acceleration (g) of somebody who walks 1.8 steps a second, and where the steps are (samples)."""
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.normal(RATE_HZ / 1.8, 1.5, int(seconds * 1.8) - 4)) + RATE_HZ
    at = np.arange(seconds * RATE_HZ)
    bumps = np.exp(-0.5 * ((at[:, None] - steps) / 3) ** 2).sum(axis=1)
    signal = rng.normal(0, 0.03, (len(at), 3)) + np.stack([0.1 * bumps, 0 * bumps, 1 + 0.4 * bumps], axis=1)
    return signal.astype(np.float32), steps


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model folder with a detector trained on a minute of such walking."""
    signal, steps = gait(1, 60)
    places = STRIDE * np.arange(len(signal) // STRIDE)
    targets = np.exp(-0.5 * (np.abs(places[:, None] - steps).min(axis=1) / 2.5) ** 2)
    trees = LGBMRegressor(objective="cross_entropy", n_estimators=20, n_jobs=1, verbose=-1).fit(
        compute_features(signal), targets
    )
    folder = tmp_path_factory.mktemp("model")
    (folder / FILE_NAME).write_bytes(export_onnx(FittedDetector(trees, 2.0, 0.0, PeakPicker(0.4))))
    return folder


def test_windows_change_no_step_of_a_trained_detector(model_folder: Path) -> None:
    detector = OnnxDetector.load(model_folder)
    signal, steps = gait(2, 300)
    all_of_it = whole(detector, signal)
    assert len(all_of_it) == pytest.approx(len(steps), rel=0.05)
    for samples in (1_000, 2_998, 7_002):
        # Sums of single precision may end otherwise in another place of the array.
        assert cut_up(detector, signal, [123, 4_567], samples) == pytest.approx(all_of_it, abs=1, rel=0)


@pytest.fixture
def walked(tmp_path: Path) -> Path:
    signal, _ = gait(3, 30)
    rows = [("a@x.y", START + SAMPLE_MS * n, *map(float, sample)) for n, sample in enumerate(signal)]
    return put(tmp_path / "walk.csv", as_csv(rows) + "b,1,2,3,nan\n")  # type: ignore[arg-type]


def test_the_command_and_the_function_agree(model_folder: Path, walked: Path, tmp_path: Path) -> None:
    steps = detect(walked, str(model_folder), settings=Settings.model_validate({"warehouse": str(tmp_path / "none")}))
    assert len(steps["a@x.y"]) == pytest.approx(30 * 1.8, abs=5)
    process = stedi(tmp_path, "detect", "walk.csv", "--model", str(model_folder))
    assert json.loads(process.stdout) == steps
    assert process.stderr == "stedi: left out 1 of 1,501 rows: z_not_finite 1\n"
    stedi(tmp_path, "detect", "walk.csv", "--model", str(model_folder), "--out", "steps.json")
    assert json.loads((tmp_path / "steps.json").read_text()) == steps
    process = stedi(tmp_path, "detect", "walk.csv", "--model", str(model_folder), "--out", "steps.json", "--json")
    counted = {"users": 1, "broken": 0, "weightless": 0, "rows": 1_501, "left_out": {"z_not_finite": 1}}
    assert json.loads(process.stdout) == {"out": "steps.json", **counted}
    stedi(tmp_path, "detect", "walk.csv", "--model", str(model_folder), "--out", "steps.parquet")
    rows = pq.read_table(tmp_path / "steps.parquet").to_pylist()
    assert rows == [{"user": "a@x.y", "timeStamp": at} for at in steps["a@x.y"]]


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize("form", [as_csv, as_json])
def test_standard_input_is_read_like_a_file(
    name: str, form: Callable[[list[Row]], str], tmp_path: Path, model_folder: Path
) -> None:
    text = form(walk("a", [], until=2_000))
    command = [sys.executable, "-m", "stedi", "detect", name, "--model", str(model_folder)]
    process = subprocess.run(command, input=text, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (process.returncode, process.stdout, process.stderr) == (0, '{"a": []}\n', "")


def test_a_named_pipe_is_read_once_and_whole(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_text, args=[as_csv(walk("a", STEPS, until=5_000))])
    writer.start()
    assert detect_with(pipe) == {"a": THERE}
    writer.join()


def test_usage_errors_of_the_command(model_folder: Path, walked: Path, tmp_path: Path) -> None:
    for arguments, says in (
        (["--out", "steps.txt", "--model", str(model_folder)], "end its name in .json or .parquet"),
        (["--model", "none"], "unknown model 'none'"),
        (["--model", str(model_folder / FILE_NAME)], f"name its folder: {model_folder}"),
        ([], "there is no model in lakehouse/models; train one with `stedi train`"),
        (["--out", "none/steps.json", "--model", str(model_folder)], "can't be written"),
    ):
        process = stedi(tmp_path, "detect", "walk.csv", *arguments)
        assert process.returncode in (1, 2)
        assert says in process.stderr.splitlines()[-1]
        assert process.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["walk.csv"]


@pytest.mark.parametrize("ending", [".json", ".parquet"])
def test_the_output_is_written_atomically(ending: str, tmp_path: Path) -> None:
    def broken() -> Iterator[UserSteps]:
        yield UserSteps("a", np.array([1], np.int64))
        raise WarehouseError("the disk is full")

    file = put(tmp_path / f"steps{ending}", "what was there before")
    with pytest.raises(StediError):
        write_file(broken(), file)
    assert file.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_symbolic_link_to_the_output_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "steps.json"
    link.symlink_to(tmp_path / "there.json")
    write_file([UserSteps("a", np.array([1], np.int64))], link)
    assert link.is_symlink()
    assert json.loads((tmp_path / "there.json").read_text()) == {"a": [1]}
