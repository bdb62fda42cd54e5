"""The suppression list: keyed tombstones of erased people, so that no late file and no restored backup brings them back.

The list is one file in the privacy folder. It is a log of changes: erasures, and people who were let in again. Nothing is
ever removed from it. It contains keyed digests (HMAC-SHA256) of addresses and serial numbers, no plain ones. Without the key
nobody can tell whether a person is in it.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from stedi.config import Settings
from stedi.errors import StediError, UsageError, WarehouseBusyError, WarehouseError
from stedi.ingest.retention_marks import RetentionMarks, read_marks
from stedi.model.identity import NotOneAddressError, device_of, padded_keys, person_of
from stedi.storage import Warehouse, open_warehouse
from stedi.storage.errors import translate_storage_errors

# Name of the list in the privacy folder.
LIST_FOLDER = "suppression"
LIST_FILE = f"{LIST_FOLDER}/list.json"
_KEY_FILE, _KEY_BYTES = "suppression.key", 32
_SETTING = "STEDI_PRIVACY__SUPPRESSION_KEY"
# A change takes milliseconds, in S3 a second. Another process that changes the list is waited for.
_ATTEMPTS, _WAIT_SECONDS = 50, 0.1


@dataclass(frozen=True)
class DevicePeriod:
    """A device and the period in which it was a person's.

    Attributes:
        serial: serial number, in any spelling.
        from_ms: start (ms since the epoch, UTC); None if it is open.
        to_ms: end, excluded (ms since the epoch, UTC); None if it is open.
    """

    serial: str
    from_ms: int | None = None
    to_ms: int | None = None


@dataclass(frozen=True)
class ErasedPerson:
    """A person to add to the list: address in any spelling, and the devices that were theirs."""

    address: str
    devices: tuple[DevicePeriod, ...] = ()


@dataclass(frozen=True)
class DeviceTombstone:
    """The keyed digest of a serial number, and the period whose readings are refused (ms since the epoch, UTC)."""

    device: str
    from_ms: int | None
    to_ms: int


@dataclass(frozen=True)
class Tombstone:
    """One erasure of one person.

    Attributes:
        subject: keyed digest of the address (64 hexadecimal digits).
        devices: the devices that were theirs.
        erasure_id: ID of the erasure.
        generation: generation of the list in which it was added.
        erased_at_ms: time of the erasure (ms since the epoch, UTC).
        lifted_at_ms: time at which the person was let in again; None if they were not.
    """

    subject: str
    devices: tuple[DeviceTombstone, ...]
    erasure_id: str
    generation: int
    erased_at_ms: int
    lifted_at_ms: int | None = None


@dataclass(frozen=True)
class Refusal:
    """Which records of a person are refused, from all of their tombstones.

    Attributes:
        until_ms: records with a time up to this one are refused (ms since the epoch, UTC); None: all records.
        lifted_at_ms: time at which the person was let in again (ms since the epoch, UTC); None if they were not.
    """

    until_ms: int | None
    lifted_at_ms: int | None


@dataclass(frozen=True)
class _ErasedSubject:
    subject: str
    devices: tuple[DeviceTombstone, ...]


@dataclass(frozen=True)
class _Change:
    """One change of the list: an erasure of some people, or people who were let in again."""

    id: str
    at_ms: int
    erased: tuple[_ErasedSubject, ...] = ()
    lifted: tuple[str, ...] = ()


@dataclass(frozen=True)
class SuppressionList:
    """The list at one generation. Changes return the next generation.

    Attributes:
        storage: the privacy folder.
        key: the suppression key; None while there is neither a list nor a key.
        secret: the configured secret that the key is derived from, if one is configured.
        marks: the retention marks; None if there are none.
    """

    storage: Warehouse = field(compare=False)
    key: bytes | None = field(default=None, repr=False)
    secret: bytes | None = field(default=None, repr=False)
    _changes: tuple[_Change, ...] = ()
    marks: RetentionMarks | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nobody was ever erased."""
        return not self._changes

    @property
    def refuses_nobody(self) -> bool:
        """Whether there are neither tombstones nor retention marks."""
        return self.is_empty and self.marks is None

    @property
    def of_erasures(self) -> "SuppressionList":
        """The list without retention marks."""
        return replace(self, marks=None)

    @property
    def of_retention(self) -> "SuppressionList":
        """The list with the retention marks alone."""
        return replace(self, _changes=())

    @property
    def generation(self) -> int:
        """Number of changes so far."""
        return len(self._changes)

    @property
    def key_id(self) -> str:
        """Digest of the key, which identifies it without revealing it."""
        return self._digest("suppression key")[:16]

    @property
    def parameters(self) -> Mapping[str, bytes]:
        """Query parameters of `keyed_digest(…, "suppression")`. Empty while there is no key."""
        return padded_keys(self.key, "suppression") if self.key else {}

    @cached_property
    def tombstones(self) -> tuple[Tombstone, ...]:
        """All tombstones, oldest first."""
        tombstones: list[Tombstone] = []
        for generation, change in enumerate(self._changes, start=1):
            tombstones = [
                replace(stone, lifted_at_ms=change.at_ms)
                if stone.subject in change.lifted and stone.lifted_at_ms is None
                else stone
                for stone in tombstones
            ]
            tombstones += [
                Tombstone(erased.subject, erased.devices, change.id, generation, change.at_ms) for erased in change.erased
            ]
        return tuple(tombstones)

    @property
    def refusals(self) -> Mapping[str, Refusal]:
        """Which records are refused, by subject."""
        refusals: dict[str, Refusal] = {}
        for stone in self.tombstones:
            before = refusals.get(stone.subject)
            # Tombstones are in the order of the erasures, so the last one decides whether the person is let in.
            until_ms = max(stone.erased_at_ms, (before and before.until_ms) or 0) if stone.lifted_at_ms is not None else None
            refusals[stone.subject] = Refusal(until_ms, stone.lifted_at_ms)
        return refusals

    @property
    def last_lift(self) -> int:
        """Generation of the newest change that let somebody in; 0 if there is none."""
        return max((generation for generation, change in enumerate(self._changes, start=1) if change.lifted), default=0)

    def has_erasures_after(self, generation: int) -> bool:
        """Whether somebody was erased in a later generation."""
        return any(change.erased for change in self._changes[generation:])

    def change_id(self, generation: int) -> str | None:
        """The ID of the change that led to a generation; None if the list is older."""
        return self._changes[generation - 1].id if 0 < generation <= self.generation else None

    def subject(self, address: str) -> str:
        """Return the keyed digest of an address, in any spelling.

        Raises:
            UsageError: it is not one address.
            WarehouseError: there is no key yet.
        """
        try:
            person = person_of(address)
        except NotOneAddressError:
            person = ""
        if not person:
            raise UsageError("this is not one valid e-mail address; give one address")
        return self.person_digest(person)

    def person_digest(self, person: str) -> str:
        """Return the keyed digest of a normalised address."""
        return self._digest(f"person:{person}")

    def device_digest(self, device: str) -> str:
        """Return the keyed digest of a normalised serial number."""
        return self._digest(f"device:{device}")

    def file_digest(self, name: str) -> str:
        """Return the keyed digest of a landing file's name."""
        return self._digest(f"file:{name}")

    def _digest(self, text: str) -> str:
        if self.key is None:
            raise WarehouseError(f"there is no suppression key yet in {self.storage}; the first erasure creates one")
        return hmac.digest(self.key, text.encode(), hashlib.sha256).hex()

    def find(self, address: str) -> tuple[Tombstone, ...]:
        """Return the tombstones of an address, in any spelling; oldest first."""
        if self.is_empty:
            return ()
        subject = self.subject(address)
        return tuple(stone for stone in self.tombstones if stone.subject == subject)

    def refuses(self, address: str) -> bool:
        """Whether a person was erased and not let in again since."""
        tombstones = self.find(address)
        return bool(tombstones) and tombstones[-1].lifted_at_ms is None

    def add(self, people: Sequence[ErasedPerson], *, erased_at_ms: int, erasure_id: str) -> "SuppressionList":
        """Add an erasure, in one atomic, durable write. The first one creates the key.

        An erasure ID that is in the list adds nothing, so a killed erasure can be continued.

        Args:
            people: the people.
            erased_at_ms: time of the erasure (ms since the epoch, UTC).
            erasure_id: its ID.

        Returns:
            The list after it. It also contains what other processes added meanwhile.

        Raises:
            UsageError: an address is not one address.
            WarehouseBusyError: another process changes the list all the time.
            WarehouseError: the list can't be read or written, or there is no place for a key.
        """
        with self.exclusively() as current:
            if any(change.id == erasure_id for change in current._changes):
                return current
            keyed = current if current.key else replace(current, key=_create_key(self.storage))
            return keyed._write(keyed._erasure(people, erased_at_ms, erasure_id))

    def with_key(self) -> "SuppressionList":
        """Return the list with a key, which is created if there is none.

        Raises:
            WarehouseError: there is no place for a key.
        """
        if self.key:
            return self
        with self.exclusively() as current:
            return current if current.key else replace(current, key=_create_key(self.storage))

    def with_temporary_key(self) -> "SuppressionList":
        """Return the list with its key, or with a random one if there is none. Nothing is written."""
        return self if self.key else replace(self, key=secrets.token_bytes(_KEY_BYTES))

    def preview(self, people: Sequence[ErasedPerson], *, erased_at_ms: int) -> "SuppressionList":
        """Return the list as `add` would leave it. Nothing is written, and a missing key is replaced by a random one."""
        keyed = self.with_temporary_key()
        return replace(keyed, _changes=(*self._changes, keyed._erasure(people, erased_at_ms, "preview")))

    def _erasure(self, people: Sequence[ErasedPerson], erased_at_ms: int, erasure_id: str) -> _Change:
        erased = tuple(
            _ErasedSubject(
                self.subject(person.address),
                tuple(
                    DeviceTombstone(
                        self.device_digest(device_of(device.serial)),
                        device.from_ms,
                        erased_at_ms if device.to_ms is None else device.to_ms,
                    )
                    for device in person.devices
                ),
            )
            for person in people
        )
        return _Change(erasure_id, erased_at_ms, erased=erased)

    def lift(self, address: str, *, at_ms: int) -> "SuppressionList":
        """Let a person in again who registered anew. Records from before the erasure stay refused.

        Does nothing if the person was let in before.

        Args:
            address: the address, in any spelling.
            at_ms: time of this change (ms since the epoch, UTC).

        Returns:
            The list after it.

        Raises:
            StediError: nobody with this address was erased.
            UsageError: it is not one address.
            WarehouseBusyError: another process changes the list all the time.
            WarehouseError: the list can't be read or written.
        """
        with self.exclusively() as current:
            tombstones = current.find(address)
            if not tombstones:
                raise StediError("nobody with this address was erased; check the address")
            if tombstones[-1].lifted_at_ms is not None:
                return current
            return current._write(_Change(secrets.token_hex(8), at_ms, lifted=(tombstones[-1].subject,)))

    @contextmanager
    def exclusively(self) -> Iterator["SuppressionList"]:
        """Hold the privacy folder's lock; yields the list as it is now."""
        with ExitStack() as stack:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    stack.enter_context(self.storage.write_lock())
                    break
                except WarehouseBusyError as error:
                    if attempt == _ATTEMPTS:
                        message = f"another process is changing the suppression list in {self.storage}; wait for it to end"
                        raise WarehouseBusyError(f"{message}, then try again") from error
                    time.sleep(_WAIT_SECONDS)
            yield _read(self.storage, self.secret)

    def _write(self, change: _Change) -> "SuppressionList":
        """Store the list with one more change; returns it. The caller holds the lock."""
        changed = replace(self, _changes=(*self._changes, change))
        document = {"key_id": self.key_id, "changes": [asdict(each) for each in changed._changes]}
        content = json.dumps({**document, "checksum": _checksum(document)}, indent=1).encode()
        with translate_storage_errors(f"the suppression list {self.storage.path(LIST_FILE)} can't be written"):
            self.storage.confirm_write_lock()
            if self.is_empty:
                self.storage.create(LIST_FILE, content, private=self.storage.can_store_secrets)
            else:
                self.storage.replace(LIST_FILE, content)
        return changed


def open_suppression(settings: Settings) -> SuppressionList:
    """Read the suppression list of the privacy folder. It is empty if nobody was ever erased.

    Raises:
        WarehouseError: the list is damaged or can't be read, or its key is missing or another one.
    """
    secret = settings.privacy.suppression_key
    return _read(open_warehouse(settings.privacy_folder), secret.get_secret_value().encode() if secret else None)


def _read(storage: Warehouse, secret: bytes | None) -> SuppressionList:
    path = storage.path(LIST_FILE)
    content: bytes | None = None
    try:
        with _missing_or_translated(f"the suppression list {path} can't be read"):
            content = storage.read(LIST_FILE)
    except FileNotFoundError:
        pass
    marks = read_marks(storage)
    if content is None and marks is None:
        return SuppressionList(storage, _read_key(storage, secret), secret)
    key_ids = {marks.key_id} if marks else set()
    changes: tuple[_Change, ...] = ()
    if content is not None:
        changes, key_id = _decode(content, path)
        key_ids.add(key_id)
    key = _read_key(storage, secret)
    if key is None:
        raise WarehouseError(
            f"the key of the suppression list {path} is missing; "
            f"restore {storage.path(_KEY_FILE)}, or set {_SETTING} to the secret of the earlier erasures"
        )
    suppression = SuppressionList(storage, key, secret, changes, marks)
    if key_ids != {suppression.key_id}:
        raise WarehouseError(
            f"the suppression list {path} was made with another key, so erased people would not be recognised; "
            f"restore {storage.path(_KEY_FILE)}, or set {_SETTING} to the secret of the earlier erasures"
        )
    return suppression


def _decode(content: bytes, path: str) -> tuple[tuple[_Change, ...], str]:
    """Return the changes of a list, and the ID of its key."""
    try:
        document = json.loads(content)
        is_intact = document.pop("checksum") == _checksum(document)
        changes = tuple(map(_decode_change, document["changes"]))
        key_id = document["key_id"]
    except (ValueError, TypeError, LookupError, AttributeError):
        is_intact = False
    if not is_intact:
        raise WarehouseError(f"the suppression list {path} is damaged; restore the privacy folder from its newest backup")
    return changes, key_id


def _decode_change(document: Mapping[str, Any]) -> _Change:
    erased = tuple(
        _ErasedSubject(each["subject"], tuple(DeviceTombstone(**device) for device in each["devices"]))
        for each in document["erased"]
    )
    return _Change(document["id"], document["at_ms"], erased, tuple(document["lifted"]))


def _checksum(document: Mapping[str, Any]) -> str:
    """Checksum of the list's content, to notice damage: a changed digest would let a person in."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _read_key(storage: Warehouse, secret: bytes | None) -> bytes | None:
    """The key from the configured secret, or else from the file in the privacy folder; None if there is neither."""
    if secret is None:
        if not storage.can_store_secrets:
            return None
        try:
            with _missing_or_translated(f"the key of the suppression list in {storage} can't be read"):
                secret = storage.read(_KEY_FILE)
        except FileNotFoundError:
            return None
    if not secret.strip():
        # Anybody could compute the digests of an empty secret.
        raise WarehouseError(
            f"the secret of the suppression list in {storage} is empty; set it to the secret of the earlier erasures"
        )
    return hashlib.sha256(secret.strip()).digest()


def _create_key(storage: Warehouse) -> bytes:
    """Store a new random secret in the privacy folder; returns its key. The caller holds the folder's lock."""
    if not storage.can_store_secrets:
        raise WarehouseError(
            f"privacy folder {storage} can't store a key secretly; set {_SETTING} to the same secret for every command"
        )
    secret = secrets.token_urlsafe(_KEY_BYTES).encode()
    with translate_storage_errors(f"the key of the suppression list in {storage} can't be written"):
        storage.create(_KEY_FILE, secret, private=True)
    return hashlib.sha256(secret).digest()


@contextmanager
def _missing_or_translated(what: str) -> Iterator[None]:
    """Translate the storage's errors, but let FileNotFoundError through."""
    missing: FileNotFoundError | None = None
    with translate_storage_errors(what):
        try:
            yield
        except FileNotFoundError as error:
            missing = error
    if missing is not None:
        raise missing
