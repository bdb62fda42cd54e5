"""List, read and download S3 objects. An object whose body arrives incomplete is requested again."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from stedi.storage.aws_errors import BROKEN_BODY

T = TypeVar("T")

_CHUNK_BYTES = 1 << 20
# boto3 retries requests, but not incomplete bodies.
_ATTEMPTS = 3


def list_objects(client: Any, bucket: str, prefix: str) -> Iterator[Mapping[str, Any]]:
    """List objects below a prefix: `Key`, `Size` (bytes), `LastModified`, `ETag`.

    Raises:
        ClientError, BotoCoreError: S3 refuses or can't be reached.
    """
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", ())


def read_object(client: Any, bucket: str, key: str) -> bytes:
    """Read a whole object.

    Raises:
        ClientError, BotoCoreError: there is no such object, or S3 refuses or can't be reached.
    """

    def read(body: Any) -> bytes:
        content: bytes = body.read()
        return content

    return _get_object(client, read, Bucket=bucket, Key=key)


def copy_object_to(client: Any, bucket: str, key: str, file: BinaryIO) -> None:
    """Write a whole object to an open file, which must be empty.

    Raises:
        ClientError, BotoCoreError: there is no such object, or S3 refuses or can't be reached.
        OSError: the file can't be written.
    """

    def write(body: Any) -> None:
        file.seek(0)
        file.truncate()
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            file.write(chunk)

    _get_object(client, write, Bucket=bucket, Key=key)


def download_object(client: Any, bucket: str, key: str, etag: str, target: Path) -> None:
    """Download one version of an object to a local file.

    Raises:
        ClientError, BotoCoreError: the object is gone or has another ETag, or S3 refuses or can't be reached.
        OSError: the file can't be written.
    """

    def write(body: Any) -> None:
        with target.open("wb") as file:
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                file.write(chunk)

    _get_object(client, write, Bucket=bucket, Key=key, IfMatch=f'"{etag}"')


def _get_object(client: Any, consume: Callable[[Any], T], **request: str) -> T:
    for attempts_left in reversed(range(_ATTEMPTS)):
        body = client.get_object(**request)["Body"]
        try:
            with closing(body):
                return consume(body)
        except BROKEN_BODY:
            if not attempts_left:
                raise
    raise AssertionError("unreachable")
