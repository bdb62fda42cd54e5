"""A warehouse below a prefix in S3; its tables stand in a database of the Glue Data Catalog."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stedi.errors import WarehouseError
from stedi.installation import not_installed
from stedi.storage.warehouse import StoredFile, Warehouse

try:
    from stedi.storage.aws_client import AWS_ERRORS, BROKEN_OFF, advice, connect, is_answer
    from stedi.storage.s3_lock import NOT_AS_SEEN, Lease
except ImportError as error:
    raise not_installed("S3 support", "aws", error) from error

# Names that need no escaping wherever a location is taken for a URL or for a pattern.
_PLACE = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*)/?")
# boto3 doesn't retry a body that breaks off, so we do; a line that breaks three in a row is down.
_READS = 3
# What to do about what S3 and Glue refuse a warehouse.
ADVICE = {
    "AccessDenied": "access is denied; grant s3:ListBucket on the bucket and s3:GetObject, s3:PutObject and "
    "s3:DeleteObject below the prefix, and use of its KMS key",
    "AccessDeniedException": "access is denied; grant glue:GetDatabase, GetTable, CreateTable and UpdateTable on the "
    "database and its tables",
}


class WarehouseInS3(Warehouse):
    """A prefix of a bucket."""

    # A process that was put to sleep holds no lock of the system's, and may wake up later.
    hold_ends_with_process = False
    keeps_secrets = False

    def __init__(self, given: str, database: str) -> None:
        """Take the place apart.

        Raises:
            ValueError: it is no `s3://BUCKET/PREFIX`.
        """
        parts = _PLACE.fullmatch(given)
        if parts is None:
            # Not repeated: a wrong one may hold a key and a secret.
            raise ValueError("it is not s3://BUCKET/PREFIX with letters, digits, and . _ = - in the names of its folders")
        self.bucket, self.prefix, self.database = parts[1], parts[2].lstrip("/"), database
        self._lease: Lease | None = None

    def __str__(self) -> str:
        return self.path("")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WarehouseInS3) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash(self.__reduce__())

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """What goes to another process; connections stay here."""
        return WarehouseInS3, (str(self), self.database)

    @cached_property
    def _client(self) -> Any:
        return connect("s3", WarehouseError)

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self.prefix, name) if part)

    def _object(self, name: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self._key(name)}

    def path(self, name: str) -> str:
        return f"s3://{self.bucket}/{self._key(name)}".rstrip("/")

    def folder(self, name: str) -> str:
        return self.path(name)

    def read(self, name: str) -> bytes:
        with self._plain_errors(name, "read"):
            for attempt in range(1, _READS + 1):
                try:
                    content: bytes = self._client.get_object(**self._object(name))["Body"].read()
                    return content
                except BROKEN_OFF:
                    if attempt == _READS:
                        raise
                except AWS_ERRORS as error:
                    if is_answer(error, "NoSuchKey"):
                        raise FileNotFoundError(f"{self.path(name)} is not there") from None
                    raise
        raise AssertionError("unreachable")

    def create(self, name: str, content: bytes, *, private: bool = False) -> None:
        assert not private
        with self._plain_errors(name, "written"):
            try:
                self._client.put_object(**self._object(name), Body=content, IfNoneMatch="*")
            except AWS_ERRORS as error:
                # An attempt whose answer got lost may have done it.
                if not is_answer(error, *NOT_AS_SEEN):
                    raise
                if self.read(name) != content:
                    raise FileExistsError(f"{self.path(name)} is there already") from None

    def replace(self, name: str, content: bytes) -> None:
        with self._plain_errors(name, "written"):
            self._client.put_object(**self._object(name), Body=content)

    def keep(self, path: str) -> None:
        """What S3 has taken, it keeps."""

    def remove(self, name: str) -> None:
        with self._plain_errors(name, "removed"):
            self._client.delete_object(**self._object(name))

    def list(self, folder: str) -> list[StoredFile]:
        start = len(self._key("")) + bool(self.prefix)
        with self._plain_errors(folder, "listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=f"{self._key(folder)}/"
            )
            return [
                StoredFile(entry["Key"][start:], entry["Size"], entry["LastModified"].timestamp())
                for page in pages
                for entry in page.get("Contents", ())
            ]

    def remove_empty_folders(self, folder: str) -> None:
        """There are none in S3."""

    @contextmanager
    def sole_writer(self) -> Iterator[None]:
        self._lease = Lease(self._client, self.bucket, self._key(".lock"), str(self))
        try:
            with self._plain_errors("", "written"), self._lease.held():
                yield
        finally:
            self._lease = None

    @contextmanager
    def read_lock(self) -> Iterator[None]:
        # A reader with no right to write can't take the lease. What it has read of the catalog stays
        # readable: upkeep leaves files for a day.
        with self._plain_errors("", "read"):
            Lease(self._client, self.bucket, self._key(".lock"), str(self)).refuse_if_held()
        yield

    def confirm_hold(self) -> None:
        if self._lease is not None:
            with self._plain_errors("", "written"):
                self._lease.confirm()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with TemporaryDirectory(prefix="stedi-") as folder:
            yield Path(folder)

    reader_scratch = scratch

    @contextmanager
    def _plain_errors(self, name: str, done: str) -> Iterator[None]:
        """Say what boto3 raises in one line."""
        try:
            yield
        except AWS_ERRORS as error:
            what = f"{self.path(name)}" if name else f"warehouse {self}"
            raise WarehouseError(f"{what} can't be {done}: {advice(error, ADVICE)}") from error
