"""Single-writer lock in S3: an object with an expiry, renewed while the writer lives.

S3 writes an object on the condition that there is none (If-None-Match), or that it still has the ETag that was
read (If-Match). So only one of several writers gets the lease. Its holder renews it. When a holder dies the lease
expires, and another writer takes it over. Its age is computed from S3's own times, so the writers' clocks need not agree.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from stedi.errors import WarehouseBusyError
from stedi.storage.aws_errors import AWS_ERRORS, has_code

# Seconds for which a killed run blocks the next one.
LEASE_SECONDS = 60.0
# Renewals per lease duration. If one fails, with all its attempts, the next is still in time.
_RENEWALS = 3
# S3's error codes if the condition does not hold, or another writer is writing the object at the same time.
CONDITION_FAILED = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")


@dataclass(frozen=True)
class _StoredLease:
    """The lease in S3, ours or another's: its duration and age in seconds, and its ETag."""

    seconds: float
    age: float
    etag: str

    @property
    def is_expired(self) -> bool:
        return self.age > self.seconds


class Lease:
    """A lease on a warehouse, held in one object of a bucket."""

    def __init__(self, client: Any, bucket: str, key: str, warehouse: str) -> None:
        """Prepare the lease; sends no request.

        Args:
            client: boto3's client of S3.
            bucket: the bucket of the object.
            key: the key of the object.
            warehouse: the address of the warehouse, for messages.
        """
        self._client, self._object, self._warehouse = client, {"Bucket": bucket, "Key": key}, warehouse
        self._holder, self._seconds = str(uuid.uuid4()), LEASE_SECONDS
        self._etag = ""
        self._renewed_at = 0.0
        self._renewing = threading.Lock()
        self._ended = threading.Event()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Acquire the lease, renew it in a thread while the context lasts, and release it.

        Raises:
            WarehouseBusyError: another writer holds it.
            ClientError, BotoCoreError: S3 refuses or can't be reached.
        """
        self._acquire()
        renewals = threading.Thread(target=self._keep_renewing, name="stedi-lease", daemon=True)
        renewals.start()
        try:
            yield
        finally:
            self._ended.set()
            renewals.join()
            # A lease that can't be released expires.
            with suppress(*AWS_ERRORS):
                self._client.delete_object(**self._object, IfMatch=self._etag)

    def raise_if_held(self) -> None:
        """Check that no run holds the lease, without taking it.

        Raises:
            WarehouseBusyError: a run holds it.
            ClientError, BotoCoreError: S3 refuses or can't be reached.
        """
        stored = self._read()
        if stored is not None and not stored.is_expired:
            raise self._busy(stored.seconds)

    def confirm(self) -> None:
        """Check that this process still holds the lease. Renew it if half of its duration is over.

        Raises:
            WarehouseBusyError: the lease expired while this process was suspended, and another writer took it.
            ClientError, BotoCoreError: S3 refuses or can't be reached.
        """
        # The wall clock includes the time in which the machine sleeps, a monotonic clock may not.
        if not 0 <= time.time() - self._renewed_at < self._seconds / 2:
            self._renew()

    def _acquire(self) -> None:
        if self._put_if(IfNoneMatch="*"):
            return
        stored = self._read()
        if stored is None:
            # Its holder has just released it, and another writer may acquire it first.
            raise self._busy(self._seconds)
        if not stored.is_expired or not self._put_if(IfMatch=stored.etag):
            raise self._busy(stored.seconds)

    def _keep_renewing(self) -> None:
        while not self._ended.wait(self._seconds / _RENEWALS):
            # A failed renewal is tried again. If the lease is lost, the next `confirm` raises the error.
            with suppress(*AWS_ERRORS, WarehouseBusyError):
                self._renew()

    def _renew(self) -> None:
        with self._renewing:
            if not self._put_if(IfMatch=self._etag):
                raise WarehouseBusyError(
                    f"another run took over {self._warehouse} while this one was suspended; "
                    "wait for it to end, then run again"
                )

    def _put_if(self, **condition: str) -> bool:
        """Write our lease under a condition; return whether the condition held."""
        sent_at = time.time()
        # `turn` makes each content unique, and so its ETag.
        content = json.dumps({"holder": self._holder, "seconds": self._seconds, "turn": str(uuid.uuid4())}).encode()
        try:
            self._etag = self._client.put_object(**self._object, Body=content, **condition)["ETag"]
        except AWS_ERRORS as error:
            if not has_code(error, *CONDITION_FAILED):
                raise
            # boto3 may have written it in an earlier attempt whose response was lost.
            if (answer := self._get_object()) is None or answer["Body"].read() != content:
                return False
            self._etag = answer["ETag"]
        self._renewed_at = sent_at
        return True

    def _read(self) -> _StoredLease | None:
        """Read the stored lease; None if nobody holds it."""
        answer = self._get_object()
        if answer is None:
            return None
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        age = (now - answer["LastModified"]).total_seconds()
        return _StoredLease(float(json.loads(answer["Body"].read())["seconds"]), age, answer["ETag"])

    def _get_object(self) -> Any | None:
        try:
            return self._client.get_object(**self._object)
        except AWS_ERRORS as error:
            if has_code(error, "NoSuchKey"):
                return None
            raise

    def _busy(self, seconds: float) -> WarehouseBusyError:
        return WarehouseBusyError(
            f"another run is working on {self._warehouse}; wait for it to end, then run again "
            f"(the lock of a killed run expires after {seconds:.0f} seconds)"
        )
