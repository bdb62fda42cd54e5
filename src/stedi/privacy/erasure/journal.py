"""The journal of an unfinished erasure: what to erase, so that a killed erasure can go on.

The rows that show which devices are a person's are among the first to be removed, so the journal keeps the result. It is the
only file of an erasure that contains plain identifiers. It is deleted at the end.
"""

from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from stedi.errors import WarehouseError
from stedi.privacy.erasure.history import RewrittenTable
from stedi.privacy.erasure.old_objects import delete_for_good
from stedi.privacy.erasure.plan import Elsewhere, Erasure
from stedi.privacy.erasure.search import People
from stedi.privacy.erasures import JOURNAL
from stedi.privacy.identifiers import Identifier
from stedi.storage import Warehouse


@dataclass(frozen=True)
class PlannedFile:
    """A landing file that is rewritten.

    Attributes:
        feed: its feed.
        name: its name with the people's records.
        version: its version with them, as the ledger has it.
        new_name: its name without them.
        sha256: digest of the file without them; None if it is deleted.
        modified_ns: time of the last write before (ns since the epoch, UTC).
    """

    feed: str
    name: str
    version: str
    new_name: str
    sha256: str | None
    modified_ns: int


@dataclass(frozen=True)
class Journal:
    """An unfinished erasure.

    Attributes:
        erasure_id: its ID.
        started_at: start (ISO 8601, UTC).
        user: who asked for it: a user of the operating system, or of AWS.
        addresses: the people whom it adds to the suppression list.
        people: the people to erase, with the devices that were theirs when it started.
        files: the landing files that are rewritten.
        plan: what was planned (`plan.Erasure`).
        identifiers: values that identify the people, for the scan.
        elsewhere: what a deployment keeps outside of the lakehouse.
        tables: the tables whose history is rewritten so far.
    """

    erasure_id: str
    started_at: str
    user: str
    addresses: tuple[str, ...] = ()
    people: People = field(default_factory=People)
    files: tuple[PlannedFile, ...] = ()
    plan: Erasure = field(default_factory=Erasure)
    identifiers: tuple[Identifier, ...] = ()
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    tables: tuple[RewrittenTable, ...] = ()


_CODEC = TypeAdapter(Journal)


def read_journal(folder: Warehouse) -> Journal | None:
    """Read the journal from the privacy folder; None if no erasure is unfinished.

    Raises:
        WarehouseError: the journal is damaged.
    """
    try:
        return _CODEC.validate_json(folder.read(JOURNAL))
    except FileNotFoundError:
        return None
    except ValidationError:
        raise WarehouseError(
            f"the journal {folder.path(JOURNAL)} of an unfinished erasure is damaged; "
            "delete it, then start the erasure again with the same addresses"
        ) from None


def write_journal(folder: Warehouse, journal: Journal) -> None:
    """Write the journal atomically and durably."""
    folder.make_folder("")
    folder.replace(JOURNAL, _CODEC.dump_json(journal))


def delete_journal(folder: Warehouse) -> None:
    """Delete the journal of a finished erasure."""
    delete_for_good(folder, JOURNAL)
