"""People are erased from a lakehouse in S3 (real HTTP services on this machine), in a bucket that keeps versions."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from stedi.cli import main
from stedi.errors import UsageError
from stedi.privacy.erasure.erase import erase, plan
from stedi.privacy.erasure.old_objects import OldObjects, count_old_objects, delete_old_objects
from stedi.privacy.identifiers import person_identifiers
from stedi.privacy.scan.roots import Root, scan
from stedi.privacy.verify_certificate import main as verify_certificate
from stedi.storage import open_warehouse
from stedi.storage.s3 import WarehouseInS3
from stedi.storage.s3_versions import abort_uploads, count_old_versions, delete_with_versions
from tests.support.byte_search import files_containing
from tests.support.compare import found_wrong
from tests.support.erasures_s3 import ANN, BOB, LANDING, VersionedLake, download_all_versions, keep_versions
from tests.support.lake import KEY
from tests.support.s3 import BUCKET, REGION, Store, aws, server, store

__all__ = ["aws", "server", "store"]


@pytest.fixture
def lake(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VersionedLake:
    """A lake without a run, in a bucket that keeps versions."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    keep_versions(store)
    return VersionedLake(tmp_path, store)


def ask_about_ann(lake: VersionedLake, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Show and export a person by the commands, with the keys from the environment."""
    settings = lake.settings
    keys = {"SUPPRESSION_KEY": settings.privacy.suppression_key, "SIGNING_KEY": settings.privacy.signing_key}
    patch.setenv("STEDI_LANDING", settings.landing)
    patch.setenv("STEDI_WAREHOUSE", settings.warehouse)
    patch.setenv("STEDI_PSEUDONYM_KEY", KEY)
    for name, key in keys.items():
        patch.setenv(f"STEDI_PRIVACY__{name}", key.get_secret_value() if key else "")
    for command in (["person", ANN], ["access", ANN, "--out", str(folder / "ann")], ["privacy", "--all"]):
        assert main(command) == 0, command
    assert ANN in (folder / "ann/customer_records.jsonl").read_text()


def test_a_person_is_erased_from_all_versions_of_all_objects(
    store: Store, lake: VersionedLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    is_deep = request.config.getoption("--deep")
    lake.land_all()
    lake.run()
    store.put(f"{LANDING}/customer/deleted.json", ANN.encode())
    store.delete(f"{LANDING}/customer/deleted.json")
    store.client.create_multipart_upload(Bucket=BUCKET, Key=f"{LANDING}/customer/2.json")
    store.put("elsewhere", b"1")
    store.put("elsewhere", b"2")
    if is_deep:
        ask_about_ann(lake, tmp_path, monkeypatch)
        planned = plan(lake.settings, [ANN])
        assert (planned.old_versions > 1, planned.uploads, planned.remains) == (True, 1, ())
    done = erase(lake.settings, [ANN])
    assert (done.found, done.doubts, done.remains) == ((), (), ())
    assert (done.old_versions > 10, done.uploads) == (True, 1)
    everything = download_all_versions(store, tmp_path / "versions")
    assert files_containing([ANN, "a-serial"], everything) == []
    assert files_containing([BOB], everything) != []
    assert not store.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    # Other objects keep theirs.
    assert len([*everything.glob("*/elsewhere")]) == 2
    certificate = tmp_path / "certificate.json"
    name = done.certificate.removesuffix(".html").rpartition("/")[2]
    privacy = open_warehouse(lake.settings.privacy_folder)
    certificate.write_bytes(privacy.read(f"certificates/{name}.json"))
    assert verify_certificate([str(certificate)]) == 0
    # The journal with addresses is gone.
    assert not [file for file in privacy.list("") if file.name.startswith("erasure")]
    # S3 gave the rewritten files another time, and the ledger keeps that of their arrival.
    assert {table.status for table in lake.run().tables.values()} == {"up to date"}
    assert found_wrong(lake) == []
    of_bob = "SELECT * FROM customer_landing ORDER BY ALL", "SELECT * FROM accelerometer_landing ORDER BY ALL"
    after = [lake.rows(query) for query in of_bob]
    assert [len(rows) for rows in after] == [1, 4]
    if is_deep:
        lake.run(reingest=True)
        assert [lake.rows(query) for query in of_bob] == after


def test_what_object_lock_protects_is_in_the_report_with_its_end(store: Store, lake: VersionedLake) -> None:
    until, now = datetime(2099, 1, 1, tzinfo=UTC), datetime.now(UTC)
    store.client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    target = {"Bucket": "locked", "Key": "in/customer/1.json"}
    store.client.put_object(**target, Body=b"1", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    store.client.put_object(**target, Body=b"2")
    store.client.put_object(**target, Body=b"3")
    store.client.put_object(Bucket="locked", Key="in-other", Body=b"1")
    store.client.delete_object(Bucket="locked", Key="in-other")
    store.put("lake/house-privacy/suppression/list.json", b"1")
    store.put("lake/house-privacy/suppression/list.json", b"2")
    for _ in range(2):
        store.put("lake/house-privacy/erasure.json")
    settings = lake.settings.model_copy(update={"landing": "s3A://locked/in/"})
    # One version of the journal, two of the landing file.
    assert count_old_objects(settings, now) == OldObjects(3, 0)
    [remains] = delete_old_objects(settings, now).remains
    assert remains.counted == "1 older versions of objects below s3://locked/in/"
    assert remains.why == "object lock protects them until 2099-01-01 00:00 UTC; then erase the same people again"
    assert delete_old_objects(settings, now) == OldObjects(remains=(remains,))
    assert count_old_versions(f"s3://{BUCKET}/lake/house-privacy/") == 1


def test_only_uploads_from_before_the_erasure_are_aborted(store: Store) -> None:
    store.client.create_multipart_upload(Bucket=BUCKET, Key="in/a")
    store.client.create_multipart_upload(Bucket=BUCKET, Key="other/a")
    assert abort_uploads(f"s3://{BUCKET}/in/", datetime(2000, 1, 1, tzinfo=UTC)) == 0
    assert abort_uploads(f"s3://{BUCKET}/in/", datetime.now(UTC)) == 1
    assert [upload["Key"] for upload in store.client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == ["other/a"]


def test_objects_with_any_name_lose_all_versions(store: Store) -> None:
    keep_versions(store)
    for key in ("in/a b+ü&<.json", "in/%41"):
        for _ in range(2):
            store.put(key)
        delete_with_versions(f"s3://{BUCKET}/{key}")
        delete_with_versions(f"s3://{BUCKET}/{key}")
    assert "Versions" not in store.client.list_object_versions(Bucket=BUCKET)


def test_an_object_is_searched_piece_by_piece(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("in/large.json", b" " * 3_000_000 + ANN.encode())
    monkeypatch.setattr("stedi.privacy.scan.roots._MAX_COPY_IN_MEMORY", 1 << 20)
    monkeypatch.setattr(WarehouseInS3, "read", None)
    root = Root("landing", open_warehouse(f"s3://{BUCKET}"))
    _, result = scan([root], person_identifiers("ann", addresses=[ANN]), b"key", lambda _: None)
    assert ([hit.file for hit in result.hits], result.doubts) == (["landing/in/large.json"], ())


def test_a_landing_prefix_that_cant_be_searched_is_refused_before_anything_is_erased(lake: VersionedLake) -> None:
    settings = lake.settings.model_copy(update={"landing": f"s3://{BUCKET}/a b"})
    for command in (plan, erase):
        with pytest.raises(UsageError, match=r"the landing prefix can't be searched: .*; rename the prefix"):
            command(settings, [ANN])
