"""List landing files in S3, and copy them to a local folder."""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from stedi.errors import LandingError, UsageError
from stedi.ingest.landing_file import LandingFile, ending_of, safe_name, skip_reason
from stedi.ingest.skipped_files import MAX_COUNTED, SkippedFiles, shown_name
from stedi.installation import not_installed
from stedi.model.feed import Feed

try:
    from stedi.storage.aws_client import PARALLEL_REQUESTS, create_client
    from stedi.storage.aws_errors import AWS_ERRORS, has_code, translate_aws_errors
    from stedi.storage.s3_objects import download_object, list_objects
except ImportError as error:
    raise not_installed("S3 support", "aws", error) from error

_PLACE = re.compile(r"(?i:s3[an]?)://([A-Za-z0-9._-]{1,255})(?:/([^\ud800-\udfff]*))?", re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Limits for counting skipped files: listed pages of the top level, and folders that belong to no feed.
_MAX_TOP_PAGES, _MAX_OTHER_FOLDERS = 10, 50

# Error codes if the object no longer has the listed version. Responses to HEAD have the status alone.
_CHANGED = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "404", "412")
_HINTS = {
    "NoSuchBucket": "the bucket does not exist; check --landing, and AWS_ENDPOINT_URL if the store is not AWS",
    "AccessDenied": "access is denied; grant s3:ListBucket on the bucket and s3:GetObject on its objects",
    "InvalidObjectState": "the object is archived; restore it, or move it out of the landing prefix",
}
_WRITE_HINTS = _HINTS | {
    "AccessDenied": "access is denied; grant s3:GetObject, s3:GetObjectTagging, s3:PutObject, s3:PutObjectTagging and "
    "s3:DeleteObject on the objects, and use of their KMS key",
    "NotImplemented": "the store can't replace an object on a condition (If-Match); remove the records by hand",
}
# S3's limits: 5 GiB in one request, 10,000 parts of one object.
_MAX_PUT_BYTES, _PART_BYTES = 5 << 30, 64 << 20
# What a replaced object keeps.
_KEPT_OF_OBJECT = (
    *("Metadata", "ContentType", "ContentEncoding", "ContentLanguage", "ContentDisposition", "CacheControl"),
    *("StorageClass", "ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled"),
)


def list_landing_objects(landing: str, feeds: Sequence[Feed], skipped: SkippedFiles | None) -> dict[str, list[LandingFile]]:
    """List the objects of some feeds below a landing prefix, by feed. `skipped` receives all others, if given.

    Raises:
        LandingError: there are no objects below the prefix, or S3 can't be read.
        UsageError: the prefix is not `s3://bucket/prefix`.
    """
    bucket, prefix = _split(landing)
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    place = f"landing prefix {safe_name(landing)}"
    listed: dict[str, list[LandingFile]] = {feed.name: [] for feed in feeds}
    with _client() as client, _translate_errors(place):
        for name, folder in [(feed.name, folder) for feed in feeds for folder in feed.folders]:
            for entry in list_objects(client, bucket, f"{prefix}{folder}/"):
                if skipped is not None:
                    skipped.missing.pop(name, None)
                if _is_marker(entry):
                    continue
                file = _landing_file(bucket, prefix, entry)
                reason = "named like a folder" if file.name.endswith("/") else skip_reason(file.name)
                if reason is None:
                    listed[name].append(file)
                elif skipped is not None:
                    skipped.add(file.name, reason)
        # Without a file of these feeds, the prefix may be mistyped.
        if not any(listed.values()) and not client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("Contents"):
            raise LandingError(f"{place} is empty; put one folder per feed there, or give another prefix with --landing")
        if skipped is not None:
            _count_others(client, bucket, prefix, skipped)
    return listed


def _count_others(client: Any, bucket: str, prefix: str, skipped: SkippedFiles) -> None:
    """Count the objects below the prefix that are in no feed's folder, up to a limit."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    folders: list[str] = []
    for page in islice(pages, _MAX_TOP_PAGES):
        for entry in page.get("Contents", ()):
            name = safe_name(entry["Key"].removeprefix(prefix))
            if not _is_marker(entry):
                skipped.add(name, "hidden" if skip_reason(name) == "hidden" else "outside the feeds' folders")
        folders += [entry["Prefix"].removeprefix(prefix)[:-1] for entry in page.get("CommonPrefixes", ())]
    for folder in (folder for folder in folders[:_MAX_OTHER_FOLDERS] if folder not in skipped.known_folders):
        page = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}{folder}/", MaxKeys=MAX_COUNTED)
        count = sum(not _is_marker(entry) for entry in page.get("Contents", ()))
        is_hidden = folder.startswith((".", "_"))
        skipped.add_folder(safe_name(folder), count, has_more=page.get("IsTruncated", False), is_hidden=is_hidden)


def _is_marker(entry: Mapping[str, Any]) -> bool:
    """Whether an object is the empty marker of a folder, which Hadoop and file browsers for S3 create."""
    key: str = entry["Key"]
    return entry["Size"] == 0 and key.endswith(("/", "_$folder$"))


def fetch(files: Sequence[LandingFile], folder: Path) -> list[LandingFile]:
    """Copy listed objects to a folder, under new names, since a key may contain any character.

    Only the listed version of an object is copied. Objects that changed or vanished are left out.

    Raises:
        LandingError: S3 can't be read.
        OSError: a copy can't be written.
    """
    with _client() as client, ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:

        def copy(numbered: tuple[int, LandingFile]) -> LandingFile | None:
            number, file = numbered
            target = folder / f"{number:06}{ending_of(file.name) or ''}"
            with _translate_errors(f"landing file {shown_name(safe_name(file.path))}"):
                is_copied = _download(client, file, target)
            return replace(file, path=str(target), is_copy=True) if is_copied else None

        # The first failure cancels the copies that have not begun.
        return [file for file in pool.map(copy, enumerate(files)) if file is not None]


def _download(client: Any, file: LandingFile, target: Path) -> bool:
    """Download the listed version of an object; False if it is no longer there."""
    bucket, key = _split(file.path)
    try:
        download_object(client, bucket, key, _etag(file), target)
    except AWS_ERRORS as error:
        if has_code(error, *_CHANGED):
            return False
        raise
    return True


def is_versioned(file: LandingFile) -> bool:
    """Whether the bucket keeps this version of an object when it is replaced or deleted.

    Raises:
        LandingError: S3 can't be read.
    """
    with _client() as client, _translate_errors(f"landing file {shown_name(file.name)}"):
        return "VersionId" in client.head_object(**_object(file.path))


def replace_object(file: LandingFile, content: Path, new_name: str | None) -> LandingFile | None:
    """Replace the listed version of an object, and keep its metadata, tags, encryption and storage class.

    Args:
        file: the listed version.
        content: local file with the new content.
        new_name: new name of the object, relative to the landing prefix. The object with the old one is deleted.

    Returns:
        The new version. None, and nothing changed, if the object no longer has the listed version.

    Raises:
        LandingError: S3 refuses or can't be reached.
    """
    bucket, key = _split(file.path)
    prefix = key[: len(key) - len("/".join(key.split("/")[-file.name.count("/") - 1 :]))]
    new_key = key if new_name is None else prefix + new_name
    with _client() as client, _translate_errors(f"landing file {shown_name(file.name)}", "replaced", _WRITE_HINTS):
        try:
            head = client.head_object(Bucket=bucket, Key=key, IfMatch=_quoted_etag(file))
            tags = client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
            kept = {name: head[name] for name in _KEPT_OF_OBJECT if head.get(name)}
            tagging = {"Tagging": urlencode({tag["Key"]: tag["Value"] for tag in tags})} if tags else {}
            condition = {} if new_name else {"IfMatch": _quoted_etag(file)}
            _upload(client, content, {"Bucket": bucket, "Key": new_key}, kept | tagging, condition)
            if new_name:
                _delete_version(client, file)
        except AWS_ERRORS as error:
            if not has_code(error, *_CHANGED):
                raise
            if new_name:
                client.delete_object(Bucket=bucket, Key=new_key)
            return None
        [entry] = [entry for entry in list_objects(client, bucket, new_key) if entry["Key"] == new_key]
        return _landing_file(bucket, prefix, entry)


def _upload(
    client: Any, content: Path, target: Mapping[str, str], described: Mapping[str, Any], condition: Mapping[str, str]
) -> None:
    with content.open("rb") as body:
        if content.stat().st_size <= _MAX_PUT_BYTES:
            client.put_object(**target, Body=body, **described, **condition)
            return
        upload = {**target, "UploadId": client.create_multipart_upload(**target, **described)["UploadId"]}
        try:
            parts = [
                {"PartNumber": number, "ETag": client.upload_part(**upload, PartNumber=number, Body=part)["ETag"]}
                for number, part in enumerate(iter(partial(body.read, _PART_BYTES), b""), start=1)
            ]
            client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **condition)
        except BaseException:
            # Else S3 keeps the parts.
            client.abort_multipart_upload(**upload)
            raise


def delete_object(path: str) -> None:
    """Delete an object. A missing object is no error.

    A bucket that keeps versions keeps this one, too; see `storage.s3_versions`.

    Raises:
        LandingError: S3 refuses or can't be reached.
    """
    with _client() as client, _translate_errors("a landing file", "deleted", _WRITE_HINTS):
        client.delete_object(**_object(path))


def delete_listed(file: LandingFile) -> bool:
    """Delete an object if it still has the listed version; returns whether it had.

    Raises:
        LandingError: S3 refuses or can't be reached.
    """
    with _client() as client, _translate_errors(f"landing file {shown_name(file.name)}", "deleted", _WRITE_HINTS):
        try:
            _delete_version(client, file)
        except AWS_ERRORS as error:
            if has_code(error, *_CHANGED):
                return False
            raise
    return True


def _delete_version(client: Any, file: LandingFile) -> None:
    condition = {"IfMatch": _quoted_etag(file)}
    # Some stores ignore the condition of a deletion.
    client.head_object(**_object(file.path), **condition)
    client.delete_object(**_object(file.path), **condition)


def _object(path: str) -> dict[str, str]:
    bucket, key = _split(path)
    return {"Bucket": bucket, "Key": key}


def _split(place: str) -> tuple[str, str]:
    """Split `s3://bucket/key` into bucket and key or prefix."""
    parts = _PLACE.fullmatch(place)
    if parts is None:
        # The message does not repeat it: it may contain a key and a secret.
        raise UsageError(
            "the landing prefix is not s3://BUCKET/PREFIX with a bucket of letters, digits, dots and dashes; "
            "credentials come from the AWS environment"
        )
    return parts[1], parts[2] or ""


def _landing_file(bucket: str, prefix: str, entry: Mapping[str, Any]) -> LandingFile:
    modified_us = (entry["LastModified"] - _EPOCH) // timedelta(microseconds=1)
    etag = entry["ETag"].strip('"')
    name = safe_name(entry["Key"].removeprefix(prefix))
    version = f"{etag}-{entry['Size']}-{modified_us}"
    return LandingFile(name, f"s3://{bucket}/{entry['Key']}", version, modified_us * 1000)


def _quoted_etag(file: LandingFile) -> str:
    return f'"{_etag(file)}"'


def _etag(file: LandingFile) -> str:
    return file.version.rsplit("-", 2)[0]


@contextmanager
def _client() -> Iterator[Any]:
    with closing(create_client("s3", LandingError)) as client:
        yield client


def _translate_errors(place: str, action: str = "read", hints: Mapping[str, str] = _HINTS) -> AbstractContextManager[None]:
    return translate_aws_errors(f"{place} can't be {action}", LandingError, hints)
