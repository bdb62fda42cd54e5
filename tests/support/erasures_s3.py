"""A lake that is in S3 as a whole: landing files, warehouse and privacy folder, in a bucket that keeps versions."""

from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stedi.config import Settings
from tests.support.lake import Record, customer, distance, reading
from tests.support.s3 import BUCKET, LakeInS3, Store

ANN, BOB = "ann@qvist.example", "bob@y.example"
LANDING = "lake/in"


class VersionedLake(LakeInS3):
    """A lake whose landing files are in S3, too."""

    def __init__(self, folder: Path, store: Store) -> None:
        super().__init__(folder)
        self.store = store
        privacy = {"suppression_key": "a secret of the list", "signing_key": new_signing_key()}
        more = {"landing": f"s3://{BUCKET}/{LANDING}", "models": folder / "models", "privacy": privacy}
        self.settings = Settings.model_validate(self.settings.model_dump() | more)

    def land(self, name: str, records: Iterable[Record] | bytes) -> Path:
        """Upload a landing file."""
        path = super().land(name, records)
        self.store.put(f"{LANDING}/{name}", path.read_bytes())
        return path

    def land_all(self) -> None:
        """Land one file of each feed with records of Ann and Bob; the step trainer is Ann's."""
        people = ((ANN, "a-serial"), (BOB, "b-serial"))
        self.land("customer/1.json", [customer(email, 10, shares=10, serial=serial) for email, serial in people])
        self.land("accelerometer/1.json", [reading(email, at) for email, _ in people for at in range(100, 104)])
        self.land("step_trainer/1.json", [distance("a-serial", at) for at in range(100, 104)])


def new_signing_key() -> str:
    """Return a new key for certificates, as PEM."""
    encoding, text = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return Ed25519PrivateKey.generate().private_bytes(encoding, text, serialization.NoEncryption()).decode()


def keep_versions(store: Store) -> None:
    """Let the bucket keep all versions of its objects from now on."""
    store.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


def download_all_versions(store: Store, folder: Path) -> Path:
    """Write every version of every object to a file, below the folder. Return the folder."""
    pages = store.client.get_paginator("list_object_versions").paginate(Bucket=BUCKET)
    for number, entry in enumerate(entry for page in pages for entry in page.get("Versions", ())):
        path = folder / str(number) / entry["Key"]
        path.parent.mkdir(parents=True)
        body = store.client.get_object(Bucket=BUCKET, Key=entry["Key"], VersionId=entry["VersionId"])["Body"]
        path.write_bytes(body.read())
    return folder
