"""A warehouse below an S3 prefix. Its tables are in a database of the Glue Data Catalog."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from typing_extensions import override

from stedi.errors import WarehouseError
from stedi.installation import not_installed
from stedi.storage.warehouse import StoredFile, Warehouse

try:
    from stedi.storage.aws_client import create_client
    from stedi.storage.aws_errors import AWS_ERRORS, WAREHOUSE_HINTS, has_code, translate_aws_errors
    from stedi.storage.s3_lock import CONDITION_FAILED, Lease
    from stedi.storage.s3_objects import copy_object_to, list_objects, read_object
except ImportError as error:
    raise not_installed("S3 support", "aws", error) from error

# Names that need no escaping, whether a reader parses a location as a URL or as a glob pattern.
_ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*)/?")


class WarehouseInS3(Warehouse):
    """A warehouse below a prefix of a bucket."""

    # A suspended process may wake up after its lease has expired, and go on writing.
    lock_ends_with_process = False
    can_store_secrets = False

    def __init__(self, address: str, database: str) -> None:
        """Parse the address; sends no request.

        Raises:
            ValueError: the address is not `s3://BUCKET/PREFIX`.
        """
        parts = _ADDRESS.fullmatch(address)
        if parts is None:
            # The address is not repeated: a wrong one may contain a key and a secret.
            raise ValueError("it is not s3://BUCKET/PREFIX with letters, digits, and . _ = - in the names of its folders")
        self.bucket, self.prefix, self.database = parts[1], parts[2].lstrip("/"), database
        self._lease: Lease | None = None

    def __str__(self) -> str:
        return self.path("")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickle the address alone, for Spark's workers: a client can't be pickled."""
        return WarehouseInS3, (str(self), self.database)

    @cached_property
    def _client(self) -> Any:
        return create_client("s3", WarehouseError)

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self.prefix, name) if part)

    def _object(self, name: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self._key(name)}

    @override
    def path(self, name: str) -> str:
        return f"s3://{self.bucket}/{self._key(name)}".rstrip("/")

    @override
    def make_folder(self, name: str) -> str:
        return self.path(name)

    @override
    def read(self, name: str) -> bytes:
        with self._translate_errors(name, "read"):
            try:
                return read_object(self._client, self.bucket, self._key(name))
            except AWS_ERRORS as error:
                if has_code(error, "NoSuchKey"):
                    raise FileNotFoundError(f"{self.path(name)} does not exist") from None
                raise

    @override
    def copy_to(self, name: str, file: BinaryIO) -> None:
        with self._translate_errors(name, "read"):
            try:
                copy_object_to(self._client, self.bucket, self._key(name), file)
            except AWS_ERRORS as error:
                if has_code(error, "NoSuchKey"):
                    raise FileNotFoundError(f"{self.path(name)} does not exist") from None
                raise

    @override
    def create(self, name: str, content: bytes, *, private: bool = False) -> None:
        assert not private
        with self._translate_errors(name, "written"):
            try:
                self._client.put_object(**self._object(name), Body=content, IfNoneMatch="*")
            except AWS_ERRORS as error:
                if not has_code(error, *CONDITION_FAILED):
                    raise
                # boto3 may have created it in an earlier attempt whose response was lost.
                if self.read(name) != content:
                    raise FileExistsError(f"{self.path(name)} already exists") from None

    @override
    def replace(self, name: str, content: bytes) -> None:
        with self._translate_errors(name, "written"):
            self._client.put_object(**self._object(name), Body=content)

    def sync(self, path: str) -> None:
        """Do nothing: S3 has stored an object durably when it responds."""

    @override
    def delete(self, name: str) -> None:
        with self._translate_errors(name, "removed"):
            self._client.delete_object(**self._object(name))

    @override
    def list(self, folder: str) -> list[StoredFile]:
        start = len(self._key("")) + bool(self.prefix)
        key = self._key(folder)
        with self._translate_errors(folder, "listed"):
            return [
                StoredFile(entry["Key"][start:], entry["Size"], entry["LastModified"].timestamp())
                for entry in list_objects(self._client, self.bucket, f"{key}/" if key else "")
            ]

    def delete_empty_folders(self, folder: str) -> None:
        """Do nothing: S3 has no folders."""

    @override
    def restrict_access(self) -> int:
        return 0

    @override
    @contextmanager
    def write_lock(self) -> Iterator[None]:
        self._lease = self._new_lease()
        try:
            with self._translate_errors("", "written"), self._lease.hold():
                yield
        finally:
            self._lease = None

    @override
    @contextmanager
    def read_lock(self) -> Iterator[None]:
        # A reader without permission to write can't take the lease. The metadata that it has read stays valid: maintenance
        # keeps replaced files for a day.
        with self._translate_errors("", "read"):
            self._new_lease().raise_if_held()
        yield

    @override
    def confirm_write_lock(self) -> None:
        if self._lease is not None:
            with self._translate_errors("", "written"):
                self._lease.confirm()

    def _new_lease(self) -> Lease:
        return Lease(self._client, self.bucket, self._key(".lock"), str(self))

    @override
    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with TemporaryDirectory(prefix="stedi-") as folder:
            yield Path(folder)

    reader_scratch = scratch

    def _translate_errors(self, name: str, action: str) -> AbstractContextManager[None]:
        what = self.path(name) if name else f"warehouse {self}"
        return translate_aws_errors(f"{what} can't be {action}", WarehouseError, WAREHOUSE_HINTS)
