"""The pseudonym key of a warehouse in S3 is rotated, in a bucket that keeps old versions."""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stedi.errors import StediError
from stedi.privacy.rotation.rotate import rotate
from stedi.storage.aws_client import create_client
from tests.support.compare import found_wrong
from tests.support.s3 import BUCKET, LakeInS3, aws, server, store
from tests.support.s3_lakes import FirstRun, empty, first_run, lake

__all__ = ["FirstRun", "aws", "empty", "first_run", "lake", "server", "store"]

NEW_SECRET = "another secret for tests, long enough"


def test_a_warehouse_in_s3_has_new_pseudonyms_and_no_old_versions(lake: LakeInS3) -> None:
    prefix = lake.settings.warehouse.removeprefix(f"s3://{BUCKET}/")
    client = create_client("s3", StediError)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    old = lake.rows("SELECT customer_pseudonym FROM customers_curated ORDER BY ALL")
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    privacy = {"suppression_key": "a suppression key for tests", "signing_key": pem.decode()}
    settings = lake.settings.model_validate({**lake.settings.model_dump(), "privacy": privacy})
    done = rotate(settings, NEW_SECRET)
    lake.settings = settings.model_validate({**settings.model_dump(), "pseudonym_key": NEW_SECRET})
    new = lake.rows("SELECT customer_pseudonym FROM customers_curated ORDER BY ALL")
    assert (done.found, done.doubts) == ((), ())
    assert len(new) == len(old) > 0
    assert set(new).isdisjoint(old)
    assert not any(table.added or table.removed for table in lake.run().tables.values())
    assert found_wrong(lake) == []
    for name in ("customers_curated", "machine_learning_curated"):
        versions = client.list_object_versions(Bucket=BUCKET, Prefix=f"{prefix}/stedi/{name}/")
        assert [version["Key"] for version in versions["Versions"] if not version["IsLatest"]] == []
        assert "DeleteMarkers" not in versions
