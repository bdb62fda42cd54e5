"""Every file below the landing folder is taken, hidden, or reported."""

import json
from pathlib import Path

import pytest

from stedi.cli.run_report import run_json, run_sections
from stedi.ingest.listing import list_landing
from stedi.ingest.skipped_files import SkippedFiles
from stedi.tables.landing.feeds import FEEDS
from tests.support.lake import Lake, reading
from tests.support.program import stedi
from tests.support.s3 import BUCKET, Store, aws, server, store

__all__ = ["aws", "server", "store"]

NAMES = [
    *("customer/a.json", "customer_landing/b.bz2", "step_trainer_landing/2026/c.zst", "accelerometer_landing/d"),
    *("customer/_temporary/0/part-0.json", "customer/x/_SUCCESS", "accelerometer_landing/.d.crc", "_spark_metadata/0"),
    *("customer/a.csv", "customer/a.json.lz4", "customer/b.json.1", "customer/c.json~", "customer/d.tar.gz"),
    *("customer/b.json._COPYING_", "customer/b.json.crc", "customer/ann@x.org.txt"),
    *("notes.txt", "docs/a", "docs/b/c", "Customers/a.json", "step-trainer/a.json"),
]


def listing(landing: str) -> tuple[list[str], SkippedFiles]:
    not_taken = SkippedFiles.of(FEEDS, FEEDS)
    listed = list_landing(landing, FEEDS, not_taken)
    return [file.name for files in listed.values() for file in files], not_taken


def put(folder: Path, names: list[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")


def test_every_file_is_taken_or_counted(tmp_path: Path) -> None:
    put(tmp_path, NAMES)
    taken, not_taken = listing(str(tmp_path))
    assert sorted(taken) == sorted(NAMES[:4])
    assert not_taken.files == len(NAMES) - 4
    assert not_taken.reasons == {
        "hidden": 4,
        "other ending": 6,
        "upload in progress": 1,
        "checksum file": 1,
        "outside the feeds' folders": 1,
        "in a folder of no feed": 4,
    }
    assert {(folder.name, folder.files, folder.meant) for folder in not_taken.folders} == {
        ("docs", 2, None),
        ("Customers", 1, "customers"),
        ("step-trainer", 1, "step_trainer"),
    }
    assert not not_taken.missing
    assert not not_taken.is_empty
    assert "ann" not in repr(not_taken)


def test_objects_in_s3_are_counted_as_files_are(store: Store, tmp_path: Path) -> None:
    put(tmp_path, NAMES)
    for name in NAMES:
        store.put(f"in/{name}")
    for marker in ("in/", "in/customer/", "in/other/", "in/customer/2024_$folder$", "in/customer_$folder$"):
        store.put(marker, b"")
    taken, not_taken = listing(f"s3://{BUCKET}/in")
    local, expected = listing(str(tmp_path))
    assert sorted(taken) == sorted(local)
    assert not_taken.reasons == expected.reasons
    assert not_taken.missing == expected.missing
    assert {folder.name for folder in not_taken.folders} == {folder.name for folder in expected.folders}


def test_folders_that_are_missing_and_an_empty_landing_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "customers").mkdir()
    _, not_taken = listing(str(tmp_path))
    assert list(not_taken.missing) == ["accelerometer", "step_trainer"]
    assert not_taken.is_empty
    assert not_taken.files == 0


def test_links_to_folders_and_what_is_no_file_are_passed_over_and_said(tmp_path: Path) -> None:
    put(tmp_path, ["customer/a.json", "elsewhere/b.json"])
    (tmp_path / "customers").symlink_to("customer")
    (tmp_path / "customer/there").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "customer/nowhere.json").symlink_to("nothing")
    taken, not_taken = listing(str(tmp_path))
    assert taken == ["customer/a.json"]
    assert not_taken.first["link to a folder"] == ["customer/there/", "customers/"]
    assert not_taken.first["link to no file"] == ["customer/nowhere.json"]


def test_names_are_shown_as_safe_text(tmp_path: Path) -> None:
    put(tmp_path, ["customer/a\n\x1b[31m.csv", "Cust\nomers/a.json"])
    _, not_taken = listing(str(tmp_path))
    assert not_taken.first["other ending"] == ["customer/a\\n\\x1b[31m.csv"]
    assert [folder.name for folder in not_taken.folders] == ["Cust\\nomers"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("CUSTOMER", "customer"), ("costumers", "customers"), ("Customer Landing", "customer_landing")),
        *(("steptrainer", "step_trainer"), ("accelerometers", "accelerometer"), ("Step.Trainer", "step_trainer")),
        *(("lakehouse", None), ("ground_truth", None), ("customer_trusted", None), ("", None)),
    ],
)
def test_a_folder_spelled_nearly_like_a_feeds_is_named(name: str, meant: str | None) -> None:
    not_taken = SkippedFiles.of(FEEDS, FEEDS)
    not_taken.add_folder(name, 1, has_more=False, is_hidden=False)
    assert not_taken.folders[0].meant == meant


def test_a_run_reports_what_it_did_not_take(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.settings = lake.settings.model_copy(update={"landing": str(tmp_path)})
    lake.landing = tmp_path
    lake.land("accelerometer/a.json", [reading("a@x.org", 1)])
    lake.land("accelerometer/b.json", b"PAR1")
    lake.land("Customer/a.json", b"")
    for attempt in ("first", "nothing new"):
        done = lake.run(select=["accelerometer_landing"])
        # The warehouse below the landing folder is no landing folder.
        assert done.not_taken.reasons == {"in a folder of no feed": 1, "content is Parquet": 1}, attempt
        shown = run_json(done)["not_taken"]
        assert (shown["files"], shown["folders"][0]["meant"]) == (2, "customer")
        assert {"name": "accelerometer/b.json", "reason": "content is Parquet"} in shown["first"]
        json.dumps(shown)
        assert "landing files not taken: 2" in {each.title for each in run_sections(done)}
    lake.land("accelerometer/b.json", [reading("a@x.org", 2)])
    assert lake.run(select=["accelerometer_landing"]).not_taken.files == 1
    assert lake.rows("SELECT count(*) FROM accelerometer_landing") == [(2,)]
    lake.land("accelerometer/b.json", b"PK\x03\x04")
    lake.run(select=["accelerometer_landing"])
    assert lake.rows("SELECT count(*) FROM accelerometer_landing") == [(1,)]


@pytest.mark.parametrize("place", ["gs://b/x", "abfss://key:secret@h/x", "HTTP://h/x", "file:///x", "hdfs:/x", "s3:/b/x"])
@pytest.mark.parametrize("option", ["--landing", "--warehouse"])
def test_other_stores_are_refused(tmp_path: Path, option: str, place: str) -> None:
    done = stedi(tmp_path, option, place, "run")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "s3://BUCKET/PREFIX" in line
    assert "secret" not in line
