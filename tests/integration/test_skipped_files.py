"""Each file below the landing folder is ingested or reported as skipped."""

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
    skipped = SkippedFiles.of(FEEDS, FEEDS)
    listed = list_landing(landing, FEEDS, skipped)
    return [file.name for files in listed.values() for file in files], skipped


def put(folder: Path, names: list[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")


def test_every_file_is_ingested_or_counted(tmp_path: Path) -> None:
    put(tmp_path, NAMES)
    names, skipped = listing(str(tmp_path))
    assert sorted(names) == sorted(NAMES[:4])
    assert skipped.files == len(NAMES) - 4
    assert skipped.reasons == {
        "hidden": 4,
        "other ending": 6,
        "upload in progress": 1,
        "checksum file": 1,
        "outside the feeds' folders": 1,
        "in a folder of no feed": 4,
    }
    assert {(folder.name, folder.files, folder.meant) for folder in skipped.folders} == {
        ("docs", 2, None),
        ("Customers", 1, "customers"),
        ("step-trainer", 1, "step_trainer"),
    }
    assert not skipped.missing
    assert not skipped.is_empty
    assert "ann" not in repr(skipped)


def test_objects_in_s3_are_counted_like_files(store: Store, tmp_path: Path) -> None:
    put(tmp_path, NAMES)
    for name in NAMES:
        store.put(f"in/{name}")
    for marker in ("in/", "in/customer/", "in/other/", "in/customer/2024_$folder$", "in/customer_$folder$"):
        store.put(marker, b"")
    names, skipped = listing(f"s3://{BUCKET}/in")
    local, expected = listing(str(tmp_path))
    assert sorted(names) == sorted(local)
    assert skipped.reasons == expected.reasons
    assert skipped.missing == expected.missing
    assert {folder.name for folder in skipped.folders} == {folder.name for folder in expected.folders}


def test_folders_that_are_missing_and_an_empty_landing_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "customers").mkdir()
    _, skipped = listing(str(tmp_path))
    assert list(skipped.missing) == ["accelerometer", "step_trainer"]
    assert skipped.is_empty
    assert skipped.files == 0


def test_links_to_folders_and_irregular_files_are_skipped_and_reported(tmp_path: Path) -> None:
    put(tmp_path, ["customer/a.json", "elsewhere/b.json"])
    (tmp_path / "customers").symlink_to("customer")
    (tmp_path / "customer/there").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "customer/nowhere.json").symlink_to("nothing")
    names, skipped = listing(str(tmp_path))
    assert names == ["customer/a.json"]
    assert skipped.first["link to a folder"] == ["customer/there/", "customers/"]
    assert skipped.first["link to no file"] == ["customer/nowhere.json"]


def test_names_are_shown_as_safe_text(tmp_path: Path) -> None:
    put(tmp_path, ["customer/a\n\x1b[31m.csv", "Cust\nomers/a.json"])
    _, skipped = listing(str(tmp_path))
    assert skipped.first["other ending"] == ["customer/a\\n\\x1b[31m.csv"]
    assert [folder.name for folder in skipped.folders] == ["Cust\\nomers"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("CUSTOMER", "customer"), ("costumers", "customers"), ("Customer Landing", "customer_landing")),
        *(("steptrainer", "step_trainer"), ("accelerometers", "accelerometer"), ("Step.Trainer", "step_trainer")),
        *(("lakehouse", None), ("ground_truth", None), ("customer_trusted", None), ("", None)),
    ],
)
def test_a_folder_with_a_name_similar_to_a_feeds_is_reported(name: str, meant: str | None) -> None:
    skipped = SkippedFiles.of(FEEDS, FEEDS)
    skipped.add_folder(name, 1, has_more=False, is_hidden=False)
    assert skipped.folders[0].meant == meant


def test_a_run_reports_skipped_files(tmp_path: Path) -> None:
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
