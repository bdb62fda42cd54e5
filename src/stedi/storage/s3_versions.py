"""Older versions of S3 objects, and incomplete multipart uploads: content that no listing shows and that S3 still stores."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stedi.errors import WarehouseError
from stedi.installation import not_installed

try:
    from stedi.storage.aws_client import create_client
    from stedi.storage.aws_errors import AWS_ERRORS, has_code, translate_aws_errors
    from stedi.storage.s3_objects import list_objects
except ImportError as error:
    raise not_installed("S3 support", "aws", error) from error

# S3's limit for one request.
_BATCH = 1_000
# Characters of keys that the XML of such a request can't contain.
_NOT_IN_XML = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_HINTS = {
    "AccessDenied": "access is denied; grant s3:ListBucketVersions and s3:ListBucketMultipartUploads on the bucket, and "
    "s3:DeleteObject, s3:DeleteObjectVersion and s3:AbortMultipartUpload on its objects",
    "NoSuchBucket": "the bucket does not exist; check its name, and AWS_ENDPOINT_URL if the store is not AWS",
}
# Answers of stores that have no versions or no list of uploads.
_UNKNOWN = ("NotImplemented", "MethodNotAllowed")

_Version = dict[str, str]


@dataclass(frozen=True)
class OldVersions:
    """Older versions and delete markers of objects.

    Attributes:
        deleted: number of deleted ones.
        locked: number of versions that object lock protects.
        locked_until: end of the longest protection; None if there is none, or if a legal hold has no end.
    """

    deleted: int = 0
    locked: int = 0
    locked_until: datetime | None = None

    def __add__(self, other: "OldVersions") -> "OldVersions":
        """Add up two places."""
        ends = [end for end in (self.locked_until, other.locked_until) if end]
        return OldVersions(self.deleted + other.deleted, self.locked + other.locked, max(ends, default=None))


def count_old_versions(place: str, *, skip: Collection[str] = ()) -> int:
    """Count what `delete_old_versions` would delete, locked versions included. For the arguments see there.

    Raises:
        WarehouseError: S3 refuses or can't be reached.
    """
    with _client() as client, _translate_errors("listed"):
        pages = _old_versions(client, place, skip)
        return sum(len(versions) + len(markers) for versions, markers in pages)


def delete_old_versions(place: str, *, skip: Collection[str] = ()) -> OldVersions:
    """Delete all versions of objects but the current ones, and their delete markers. Of a deleted object, all versions.

    A deleted object with a locked version keeps its delete markers, which hide that version.

    Args:
        place: `s3://bucket/key`, or `s3://bucket/prefix/` for all objects below. Objects may be deleted already.
        skip: `s3://bucket/prefix/` of objects that keep their versions.

    Raises:
        WarehouseError: S3 refuses or can't be reached.
    """
    bucket, _ = _split(place)
    locked_keys: set[str] = set()
    with _client() as client, _translate_errors("deleted"):
        # All pages first: not all stores continue a listing after the object at its page's end was deleted.
        pages = list(_old_versions(client, place, skip))
        found = _delete(client, bucket, [version for versions, _ in pages for version in versions], locked_keys)
        markers = [marker for _, markers in pages for marker in markers if marker["Key"] not in locked_keys]
        return found + _delete(client, bucket, markers, locked_keys)


def count_objects(place: str) -> int:
    """Count the objects below `s3://bucket/prefix/`.

    Raises:
        WarehouseError: S3 refuses or can't be reached.
    """
    with _client() as client, _translate_errors("listed"):
        return sum(1 for _ in list_objects(client, *_split(place)))


def delete_objects(place: str) -> int:
    """Delete all objects below `s3://bucket/prefix/`; returns their number. Older versions stay.

    Raises:
        WarehouseError: S3 refuses or can't be reached.
    """
    bucket, prefix = _split(place)
    with _client() as client, _translate_errors("deleted"):
        objects = [{"Key": entry["Key"]} for entry in list_objects(client, bucket, prefix)]
        return _delete(client, bucket, objects, set()).deleted


def delete_with_versions(path: str) -> None:
    """Delete an object with all its versions, the current one last. A missing object is no error.

    Raises:
        WarehouseError: S3 refuses or can't be reached.
    """
    bucket, key = _split(path)
    delete_old_versions(path)
    with _client() as client, _translate_errors("deleted"):
        try:
            head = client.head_object(Bucket=bucket, Key=key)
        except AWS_ERRORS as error:
            if has_code(error, "404", "NoSuchKey"):
                return
            raise
        version = {"Key": key, "VersionId": head["VersionId"]} if "VersionId" in head else {"Key": key}
        if _delete(client, bucket, [version], set()).locked:
            # Hidden, until the lock ends.
            client.delete_object(Bucket=bucket, Key=key)


def count_uploads(place: str, started_before: datetime) -> int:
    """Count what `abort_uploads` would abort. For the arguments see there.

    Raises:
        WarehouseError: S3 refuses or can't be reached.
    """
    with _client() as client, _translate_errors("listed"):
        return sum(1 for _ in _uploads(client, place, started_before))


def abort_uploads(place: str, started_before: datetime) -> int:
    """Abort incomplete multipart uploads, and so delete their parts; returns their number.

    Args:
        place: `s3://bucket/prefix/`.
        started_before: younger uploads go on.

    Raises:
        WarehouseError: S3 refuses or can't be reached.
    """
    with _client() as client, _translate_errors("deleted"):
        uploads = list(_uploads(client, place, started_before))
        for upload in uploads:
            try:
                client.abort_multipart_upload(**upload)
            except AWS_ERRORS as error:
                # Completed or aborted meanwhile.
                if not has_code(error, "NoSuchUpload"):
                    raise
    return len(uploads)


def _uploads(client: Any, place: str, started_before: datetime) -> Iterator[Mapping[str, str]]:
    bucket, prefix = _split(place)
    for page in _pages(client, "list_multipart_uploads", bucket, prefix):
        for entry in page.get("Uploads", ()):
            if entry["Initiated"] < started_before:
                yield {"Bucket": bucket, "Key": entry["Key"], "UploadId": entry["UploadId"]}


def _old_versions(client: Any, place: str, skip: Collection[str]) -> Iterator[tuple[list[_Version], list[_Version]]]:
    """List older versions and delete markers, page by page."""
    bucket, prefix = _split(place)
    skipped = tuple(key for other, key in map(_split, skip) if other == bucket)

    def chosen(entry: Mapping[str, Any]) -> bool:
        key: str = entry["Key"]
        return (key == prefix or not prefix or prefix.endswith("/")) and not key.startswith(skipped)

    for page in _pages(client, "list_object_versions", bucket, prefix):
        versions = [entry for entry in page.get("Versions", ()) if not entry["IsLatest"] and chosen(entry)]
        markers = [entry for entry in page.get("DeleteMarkers", ()) if chosen(entry)]
        yield [_named(entry) for entry in versions], [_named(entry) for entry in markers]


def _named(entry: Mapping[str, Any]) -> _Version:
    return {"Key": entry["Key"], "VersionId": entry["VersionId"]}


def _pages(client: Any, request: str, bucket: str, prefix: str) -> Iterator[Mapping[str, Any]]:
    try:
        yield from client.get_paginator(request).paginate(Bucket=bucket, Prefix=prefix)
    except AWS_ERRORS as error:
        if not has_code(error, *_UNKNOWN):
            raise


def _delete(client: Any, bucket: str, versions: list[_Version], locked_keys: set[str]) -> OldVersions:
    """Delete versions; adds the keys of locked ones."""
    found = OldVersions()
    together = [version for version in versions if not _NOT_IN_XML.search(version["Key"])]
    for version in (version for version in versions if _NOT_IN_XML.search(version["Key"])):
        found += _delete_one(client, {"Bucket": bucket, **version}, locked_keys)
    for start in range(0, len(together), _BATCH):
        batch = together[start : start + _BATCH]
        errors = client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True}).get("Errors", ())
        # Not all stores say which versions of a key failed, so they are tried one by one.
        failed_keys = {error["Key"] for error in errors}
        failed = [version for version in batch if version["Key"] in failed_keys]
        found += OldVersions(deleted=len(batch) - len(failed))
        for version in failed:
            found += _delete_one(client, {"Bucket": bucket, **version}, locked_keys)
    return found


def _delete_one(client: Any, version: Mapping[str, str], locked_keys: set[str]) -> OldVersions:
    try:
        client.delete_object(**version)
    except AWS_ERRORS as error:
        if not has_code(error, "AccessDenied"):
            raise
        head = client.head_object(**version)
        if "ObjectLockMode" not in head and head.get("ObjectLockLegalHoldStatus") != "ON":
            raise
        locked_keys.add(version["Key"])
        return OldVersions(locked=1, locked_until=head.get("ObjectLockRetainUntilDate"))
    return OldVersions(deleted=1)


def _split(place: str) -> tuple[str, str]:
    bucket, _, key = place.removeprefix("s3://").partition("/")
    return bucket, key


@contextmanager
def _client() -> Iterator[Any]:
    with closing(create_client("s3", WarehouseError)) as client:
        yield client


def _translate_errors(action: str) -> AbstractContextManager[None]:
    return translate_aws_errors(f"old versions of objects in S3 can't be {action}", WarehouseError, _HINTS)
