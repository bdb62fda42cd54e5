"""Records are removed from landing files in S3 (a real HTTP store on this machine), with and without versions."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stedi.errors import LandingError
from stedi.ingest import s3
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.listing import list_files
from stedi.privacy.landing_files import RewrittenFile, plan_removal, remove_file, remove_records
from stedi.storage.s3_versions import OldVersions, count_old_versions, delete_old_versions
from stedi.tables.landing.feeds import FEEDS
from tests.support.layouts import LINES, PLAIN
from tests.support.s3 import BUCKET, Store, Trouble, aws, server, store, trouble

__all__ = ["aws", "server", "store", "trouble"]

ACCELEROMETER = FEEDS[1]
LANDING = f"s3://{BUCKET}/lake/in"
REST = b"".join(line + b"\n" for line in LINES[1:])


def only_file() -> LandingFile:
    [file] = list_files(LANDING, ACCELEROMETER)
    return file


def remove(file: LandingFile, positions: list[int], scratch: Path, **options: Any) -> RewrittenFile:
    arguments = {"is_theirs": lambda text: True, "scratch": scratch, **options}
    planned = plan_removal(file, ACCELEROMETER, positions, **arguments)
    assert file == only_file()
    removed = remove_records(file, ACCELEROMETER, positions, **arguments)
    assert planned == replace(removed, file=None)
    assert not [*scratch.iterdir()]
    return removed


def keys(store: Store) -> list[str]:
    return [entry["Key"] for entry in store.client.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


def content(store: Store, key: str) -> bytes:
    body: bytes = store.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


def versions(store: Store) -> list[str]:
    listed = store.client.list_object_versions(Bucket=BUCKET)
    return [entry["Key"] for group in ("Versions", "DeleteMarkers") for entry in listed.get(group, ())]


def keep_versions(store: Store) -> None:
    store.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


def test_an_object_keeps_its_metadata_and_is_not_taken_for_a_changed_one(store: Store, tmp_path: Path) -> None:
    key = "lake/in/accelerometer/a b+ü.json.gz"
    described = {"ContentType": "application/json", "ContentEncoding": "gzip", "Metadata": {"sender": "phone-7"}}
    store.client.put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(PLAIN), Tagging="zone=raw&x=a%3Db+c", **described)
    store.put("lake/in/accelerometer/a b+ü.json.gz.crc")
    before = only_file()
    result = remove(before, [1], tmp_path)
    assert (result.removed_records, result.kept_records, result.is_versioned) == (1, 4, False)
    assert result.file == only_file()
    assert result.file.version != before.version
    assert result.modified_ns == before.modified_ns
    assert gzip.decompress(content(store, key)) == REST
    head = store.client.head_object(Bucket=BUCKET, Key=key)
    assert {name: head[name] for name in described} == described
    tags = store.client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"zone": "raw", "x": "a=b c"}
    assert keys(store) == [key]


def test_an_object_without_records_is_deleted(store: Store, tmp_path: Path) -> None:
    store.put("lake/in/accelerometer/a.json", PLAIN)
    assert remove(only_file(), [1, 2, 3, 4, 5], tmp_path).file is None
    assert keys(store) == []


def test_a_name_with_an_address_becomes_neutral(store: Store, tmp_path: Path) -> None:
    store.put("lake/in/accelerometer/2026/ann@x.org/a.json", PLAIN)
    result = remove(only_file(), [1], tmp_path, is_name_theirs=lambda part: "ann" in part)
    assert result.file == only_file()
    assert result.new_name == result.file.name
    assert keys(store) == [f"lake/in/{result.new_name}"]
    assert "ann" not in result.new_name
    assert content(store, keys(store)[0]) == REST


def test_a_large_object_is_uploaded_in_parts(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_MAX_PUT_BYTES", 1)
    monkeypatch.setattr(s3, "_PART_BYTES", 5 << 20)
    content_before = PLAIN * 15_000
    store.client.put_object(
        Bucket=BUCKET, Key="lake/in/accelerometer/a.json", Body=content_before, Metadata={"sender": "phone-7"}
    )
    remove(only_file(), [1], tmp_path)
    assert content(store, "lake/in/accelerometer/a.json") == content_before[len(LINES[0]) + 1 :]
    assert store.client.head_object(Bucket=BUCKET, Key="lake/in/accelerometer/a.json")["Metadata"] == {"sender": "phone-7"}


@pytest.mark.parametrize("max_put_bytes", [1 << 20, 1])
def test_a_newer_upload_stays(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_put_bytes: int) -> None:
    monkeypatch.setattr(s3, "_MAX_PUT_BYTES", max_put_bytes)

    def upload(text: str) -> bool:
        store.put("lake/in/accelerometer/a.json", PLAIN + PLAIN)
        return True

    for positions in ([1], [1, 2, 3, 4, 5]):
        store.put("lake/in/accelerometer/a.json", PLAIN)
        listed = only_file()
        with pytest.raises(LandingError, match="changed after it was listed"):
            remove_records(listed, ACCELEROMETER, positions, upload, scratch=tmp_path)
        assert content(store, "lake/in/accelerometer/a.json") == PLAIN + PLAIN
    with pytest.raises(LandingError, match="changed after it was listed"):
        remove_records(listed, ACCELEROMETER, [1], lambda text: True, scratch=tmp_path)
    assert not [*tmp_path.iterdir()]
    assert "Uploads" not in store.client.list_multipart_uploads(Bucket=BUCKET)


def test_an_erasure_that_stopped_before_the_old_name_was_deleted_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second time, the file gets the same new name."""
    store.put("lake/in/accelerometer/ann@x.org.json", PLAIN)
    options: dict[str, Any] = {"scratch": tmp_path, "is_name_theirs": lambda part: "ann" in part}
    with monkeypatch.context() as patch:
        patch.setattr(s3, "_delete_version", interrupt)
        with pytest.raises(KeyboardInterrupt):
            remove_records(only_file(), ACCELEROMETER, [1], lambda text: True, **options)
    [old] = [file for file in list_files(LANDING, ACCELEROMETER) if "@" in file.name]
    assert len(keys(store)) == 2
    remove_records(old, ACCELEROMETER, [1], lambda text: True, **options)
    assert [content(store, key) for key in keys(store)] == [REST]


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_old_versions_are_deleted(store: Store, tmp_path: Path) -> None:
    keep_versions(store)
    for name in ("a.json", "a.json.2"):
        store.put(f"lake/in/accelerometer/{name}", PLAIN)
    store.put("lake/in/accelerometer/a.json", PLAIN)
    file = only_file()
    assert remove(file, [1], tmp_path).is_versioned
    assert len(versions(store)) == 4
    assert delete_old_versions(file.path) == OldVersions(deleted=2)
    assert versions(store) == ["lake/in/accelerometer/a.json", "lake/in/accelerometer/a.json.2"]
    assert content(store, "lake/in/accelerometer/a.json") == REST
    assert remove(only_file(), [1, 2, 3, 4], tmp_path).is_versioned
    assert count_old_versions(file.path) == 2
    assert delete_old_versions(file.path) == OldVersions(deleted=2)
    assert versions(store) == ["lake/in/accelerometer/a.json.2"]
    store.put("lake/in/accelerometer/a.json.2", REST)
    store.put("lake/in/deleted", PLAIN)
    store.delete("lake/in/deleted")
    assert delete_old_versions(f"{LANDING}/") == OldVersions(deleted=3)
    assert content(store, "lake/in/accelerometer/a.json.2") == REST
    assert versions(store) == ["lake/in/accelerometer/a.json.2"]


def test_object_lock_is_reported(store: Store, tmp_path: Path) -> None:
    until = datetime(2099, 1, 1, tzinfo=UTC)
    store.client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    locked = {"Bucket": "locked", "Key": "accelerometer/a.json"}
    store.client.put_object(**locked, Body=PLAIN, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    store.client.put_object(**locked, Body=PLAIN)
    [file] = list_files("s3://locked", ACCELEROMETER)
    result = remove_records(file, ACCELEROMETER, [1], lambda text: True, scratch=tmp_path)
    assert result.is_versioned
    assert delete_old_versions(file.path) == OldVersions(deleted=1, locked=1, locked_until=until)
    store.client.delete_object(**locked)
    assert delete_old_versions(file.path) == OldVersions(deleted=1, locked=1, locked_until=until)
    assert not store.client.list_objects_v2(Bucket="locked").get("Contents")


@pytest.mark.parametrize("answer", ["403 AccessDenied", "501 NotImplemented"])
def test_a_refusal_is_one_line_and_leaves_the_object(
    store: Store, trouble: Callable[[Trouble], None], tmp_path: Path, answer: str
) -> None:
    store.put("lake/in/accelerometer/ann@x.org.json", PLAIN)
    file = only_file()
    trouble(lambda path: answer if "tagging" in path else None)
    with pytest.raises(LandingError, match=r"landing file accelerometer/\(name with @\) can't be replaced") as caught:
        remove_records(file, ACCELEROMETER, [1], lambda text: True, scratch=tmp_path)
    assert "\n" not in str(caught.value)
    assert content(store, "lake/in/accelerometer/ann@x.org.json") == PLAIN


def test_any_object_below_the_prefix_can_be_removed(store: Store) -> None:
    for key in ("lake/in/_temporary/a", "lake/in/b"):
        store.put(key)
    remove_file(LANDING, "_temporary/a")
    remove_file(f"{LANDING}/", "missing")
    assert keys(store) == ["lake/in/b"]
