"""Landing files in S3: list what is there, and copy it here to be read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from stedi.errors import LandingError, UsageError
from stedi.ingest.landing_file import LandingFile, ending_of, safe_name, why_not_taken
from stedi.ingest.not_taken import MOST_COUNTED, NotTaken
from stedi.installation import not_installed
from stedi.model.feed import Feed

try:
    from stedi.storage.aws_client import PARALLEL_REQUESTS, create_client
    from stedi.storage.aws_errors import AWS_ERRORS, has_code, translate_aws_errors
    from stedi.storage.s3_objects import download_object
except ImportError as error:
    raise not_installed("S3 support", "aws", error) from error

_PLACE = re.compile(r"(?i:s3[an]?)://([A-Za-z0-9._-]{1,255})(?:/([^\ud800-\udfff]*))?", re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Pages of objects outside all folders, and folders of no feed, that are looked at for the report.
_TOP_PAGES, _OTHER_FOLDERS = 10, 50

# Codes with which GetObject says that the version which was listed is no longer there.
_CHANGED = ("PreconditionFailed", "NoSuchKey")
_HINTS = {
    "NoSuchBucket": "the bucket does not exist; check --landing, and AWS_ENDPOINT_URL if the store is not AWS",
    "AccessDenied": "access is denied; grant s3:ListBucket on the bucket and s3:GetObject on its objects",
    "InvalidObjectState": "the object is archived; restore it, or move it out of the landing prefix",
}


def list_objects(landing: str, feeds: Sequence[Feed], not_taken: NotTaken | None) -> dict[str, list[LandingFile]]:
    """All objects of some feeds below a landing prefix, by feed. All others go to `not_taken`, where it is given.

    Raises:
        LandingError: nothing is below the prefix, or S3 can't be read.
        UsageError: the prefix is not `s3://bucket/prefix`.
    """
    bucket, prefix = _split(landing)
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    place = f"landing prefix {safe_name(landing)}"
    listed: dict[str, list[LandingFile]] = {feed.name: [] for feed in feeds}
    with _client() as client, _translate_errors(place):
        pages = client.get_paginator("list_objects_v2")
        for feed in feeds:
            for folder in feed.folders:
                for page in pages.paginate(Bucket=bucket, Prefix=f"{prefix}{folder}/"):
                    entries = page.get("Contents", ())
                    if entries and not_taken is not None:
                        not_taken.missing.pop(feed.name, None)
                    for entry in (entry for entry in entries if not _is_marker(entry)):
                        file = _landing_file(bucket, prefix, entry)
                        if why := "named like a folder" if file.name.endswith("/") else why_not_taken(file.name):
                            if not_taken is not None:
                                not_taken.add(file.name, why)
                        else:
                            listed[feed.name].append(file)
        # Without a file of these feeds, somebody may have mistyped the prefix.
        if not any(listed.values()) and not client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("Contents"):
            raise LandingError(f"{place} holds nothing; put one folder a feed there, or give its place with --landing")
        if not_taken is not None:
            _count_others(client, bucket, prefix, not_taken)
    return listed


def _count_others(client: Any, bucket: str, prefix: str, not_taken: NotTaken) -> None:
    """Count what is below the prefix and in no feed's folder, up to a limit."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    folders: list[str] = []
    for page in islice(pages, _TOP_PAGES):
        for entry in page.get("Contents", ()):
            name = safe_name(entry["Key"].removeprefix(prefix))
            if not _is_marker(entry):
                not_taken.add(name, "hidden" if why_not_taken(name) == "hidden" else "outside the feeds' folders")
        folders += [entry["Prefix"].removeprefix(prefix)[:-1] for entry in page.get("CommonPrefixes", ())]
    for folder in (folder for folder in folders[:_OTHER_FOLDERS] if folder not in not_taken.known_folders):
        page = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}{folder}/", MaxKeys=MOST_COUNTED)
        count = sum(not _is_marker(entry) for entry in page.get("Contents", ()))
        is_hidden = folder.startswith((".", "_"))
        not_taken.add_folder(safe_name(folder), count, has_more=page.get("IsTruncated", False), is_hidden=is_hidden)


def _is_marker(entry: Mapping[str, Any]) -> bool:
    """Whether an object stands for a folder: tools that show folders, and Hadoop, put such objects."""
    key: str = entry["Key"]
    return entry["Size"] == 0 and key.endswith(("/", "_$folder$"))


def fetch(files: Sequence[LandingFile], folder: Path) -> list[LandingFile]:
    """Copy listed objects to a folder, under names of our own: a key may hold anything.

    What is copied is the version that was listed; an object that changed or vanished is left out.

    Raises:
        LandingError: S3 can't be read.
        OSError: a copy can't be written.
    """
    with _client() as client, ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:

        def copy(numbered: tuple[int, LandingFile]) -> LandingFile | None:
            number, file = numbered
            target = folder / f"{number:06}{ending_of(file.name) or ''}"
            with _translate_errors(f"landing file {safe_name(file.path)}"):
                is_here = _download(client, file, target)
            return replace(file, path=str(target), is_copy=True) if is_here else None

        # The first failure cancels what has not begun.
        return [file for file in pool.map(copy, enumerate(files)) if file is not None]


def _download(client: Any, file: LandingFile, target: Path) -> bool:
    """Whether the listed version was still there; it is now at the target."""
    bucket, key = _split(file.path)
    try:
        download_object(client, bucket, key, _etag(file), target)
    except AWS_ERRORS as error:
        if has_code(error, *_CHANGED):
            return False
        raise
    return True


def _split(place: str) -> tuple[str, str]:
    """Bucket and key or prefix of `s3://bucket/key`; what follows the bucket's slash is taken as it is."""
    parts = _PLACE.fullmatch(place)
    if parts is None:
        # Not repeated in the message: a wrong one may hold a key and a secret.
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


def _etag(file: LandingFile) -> str:
    return file.version.rsplit("-", 2)[0]


@contextmanager
def _client() -> Iterator[Any]:
    with closing(create_client("s3", LandingError)) as client:
        yield client


def _translate_errors(place: str) -> AbstractContextManager[None]:
    return translate_aws_errors(f"{place} can't be read", LandingError, _HINTS)
