"""Single-writer lock in S3: an object with an expiry, renewed while the writer lives.

S3 puts an object only where there is none, or only where it is still the one that was seen (If-None-Match,
If-Match), so of several who want it one gets it. Its holder renews it. A holder that died does not, and after
the lease somebody else takes it over. Its age is told by S3's own times, so clocks need not agree.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any

from stedi.errors import WarehouseBusyError
from stedi.storage.aws_client import AWS_ERRORS, is_answer

# A run that was killed holds up the next for so long. There are three renewals a lease: one may fail,
# with all its attempts, and the next is still in time.
LEASE_SECONDS = 60.0
_RENEWALS = 3
# What S3 answers where the object is another than was said, or is being put by somebody else.
NOT_AS_SEEN = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")


class Lease:
    """A lease on one object of a bucket; `place` is what messages say is held."""

    def __init__(self, client: Any, bucket: str, key: str, place: str) -> None:
        self._client, self._object, self._place = client, {"Bucket": bucket, "Key": key}, place
        self._holder, self._seconds = str(uuid.uuid4()), LEASE_SECONDS
        self._etag = ""
        self._renewed_at = 0.0
        self._renewing = threading.Lock()
        self._ended = threading.Event()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease, renewed, for as long as the context lasts.

        Raises:
            WarehouseBusyError: somebody else holds it.
            ClientError, BotoCoreError: S3 can't be reached, or refuses.
        """
        self._take()
        renewals = threading.Thread(target=self._keep_renewing, name="stedi-lease", daemon=True)
        renewals.start()
        try:
            yield
        finally:
            self._ended.set()
            renewals.join()
            # One that can't be given back runs out.
            with suppress(*AWS_ERRORS):
                self._client.delete_object(**self._object, IfMatch=self._etag)

    def refuse_if_held(self) -> None:
        """Look whether a run is at work, without taking the lease.

        Raises:
            WarehouseBusyError: somebody holds it.
            ClientError, BotoCoreError: S3 can't be reached, or refuses.
        """
        found = self._find()
        if found is not None and found[2] <= found[0]:
            raise self._busy(found[0])

    def confirm(self) -> None:
        """Make sure that the lease is ours still.

        Raises:
            WarehouseBusyError: it ran out while this process stood still, and somebody else took it.
            ClientError, BotoCoreError: S3 can't be reached, or refuses.
        """
        # The clock of the day counts the time in which a machine sleeps, others may not.
        if not 0 <= time.time() - self._renewed_at < self._seconds / 2:
            self._renew()

    def _take(self) -> None:
        if self._put(IfNoneMatch="*"):
            return
        found = self._find()
        if found is None:
            raise self._busy(self._seconds)
        seconds, etag, age = found
        if age <= seconds or not self._put(IfMatch=etag):
            raise self._busy(seconds)

    def _keep_renewing(self) -> None:
        while not self._ended.wait(self._seconds / _RENEWALS):
            # What fails here is tried again, and matters only when it is confirmed.
            with suppress(*AWS_ERRORS, WarehouseBusyError):
                self._renew()

    def _renew(self) -> None:
        with self._renewing:
            if not self._put(IfMatch=self._etag):
                raise WarehouseBusyError(
                    f"another run took over {self._place} while this one stood still; wait for it to end, then run again"
                )

    def _put(self, **condition: str) -> bool:
        """Put our object under a condition; returns whether that held."""
        asked_at = time.time()
        # Each is another, so that no two have the same tag.
        content = json.dumps({"holder": self._holder, "seconds": self._seconds, "turn": str(uuid.uuid4())}).encode()
        try:
            self._etag = self._client.put_object(**self._object, Body=content, **condition)["ETag"]
        except AWS_ERRORS as error:
            if not is_answer(error, *NOT_AS_SEEN):
                raise
            # An attempt whose answer got lost may have done it.
            if (found := self._look()) is None or found["Body"].read() != content:
                return False
            self._etag = found["ETag"]
        self._renewed_at = asked_at
        return True

    def _find(self) -> tuple[float, str, float] | None:
        """The lease that is there: its length, its tag, its age; None where it has just been given back."""
        found = self._look()
        if found is None:
            return None
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
        age = (now - found["LastModified"]).total_seconds()
        return float(json.loads(found["Body"].read())["seconds"]), found["ETag"], age

    def _look(self) -> Any | None:
        try:
            return self._client.get_object(**self._object)
        except AWS_ERRORS as error:
            if is_answer(error, "NoSuchKey"):
                return None
            raise

    def _busy(self, seconds: float) -> WarehouseBusyError:
        return WarehouseBusyError(
            f"another run is working on {self._place}; wait for it to end, then run again "
            f"(one that was killed lets go after {seconds:.0f} seconds)"
        )
