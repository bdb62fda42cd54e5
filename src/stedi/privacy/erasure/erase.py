"""Erase people: from landing files, tables, their whole history, models and logs.

Each step can be repeated: a killed erasure is completed by the next call. The tombstones come first. From then until the
last step the warehouse is behind the suppression list, so no run and no reader uses it.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from stedi.catalog.run_log import new_run_id
from stedi.config import Settings
from stedi.ingest.applied_erasures import is_applied, mark_applied, require_applied
from stedi.ingest.suppression import ErasedPerson, SuppressionList, open_suppression
from stedi.model.progress import Report
from stedi.privacy.certificate import FOLDER as CERTIFICATES
from stedi.privacy.erasure.journal import Journal, delete_journal, read_journal, write_journal
from stedi.privacy.erasure.landing import FileToCut
from stedi.privacy.erasure.old_objects import count_old_objects, delete_old_objects
from stedi.privacy.erasure.plan import NOTHING_ELSEWHERE, Elsewhere, Erasure
from stedi.privacy.erasure.proof import (
    certificate_facts,
    certify,
    forget_before,
    left_out,
    list_before,
    read_before,
    roots,
    scan_after,
)
from stedi.privacy.erasure.removal import PeopleRemoval
from stedi.privacy.erasure.search import People, devices_of
from stedi.privacy.lakehouse import (
    Lakehouse,
    open_lakehouse_for_reading,
    open_lakehouse_for_writing,
    open_locked_lakehouse,
    write_locked,
)
from stedi.privacy.privacy_log import operating_system_user
from stedi.privacy.whose_rows import search_people
from stedi.storage import Warehouse, open_warehouse


def plan(
    settings: Settings,
    addresses: Sequence[str],
    *,
    elsewhere: Elsewhere = NOTHING_ELSEWHERE,
    progress: Report = lambda _: None,
) -> Erasure:
    """Return what `erase` would remove. Changes nothing.

    Args:
        settings: the settings.
        addresses: normalised addresses of the people to erase, added to those on the suppression list. May be empty.
        elsewhere: what a deployment keeps outside of the lakehouse.
        progress: receives the number of finished tables.

    Raises:
        NoWarehouseError: there is no warehouse.
        WarehouseError: no run has finished, or a file can't be read.
        LandingError: the landing folder or a file in it can't be read.
    """
    roots(settings)
    warehouse = open_warehouse(settings.warehouse, settings.database)
    with open_lakehouse_for_reading(settings, warehouse) as lakehouse:
        journal = read_journal(open_warehouse(settings.privacy_folder))
        suppression, now_ms = open_suppression(settings), _now_ms()
        is_unfinished = journal is not None or not is_applied(warehouse, suppression)
        people = _erased(lakehouse, addresses, now_ms)
        if people:
            suppression = suppression.preview(people, erased_at_ms=now_ms)
        if suppression.is_empty:
            return Erasure()
        known = (journal.people if journal else People()) | _people(people)
        planned = PeopleRemoval(lakehouse, suppression, known, progress).plan(addresses)
        old = count_old_objects(settings, datetime.now(UTC), elsewhere.copies)
        return replace(
            planned,
            old_versions=old.versions,
            uploads=old.uploads,
            copies=old.copies,
            remains=(*planned.remains, *elsewhere.remains),
            is_unfinished=is_unfinished,
        )


def erase(
    settings: Settings,
    addresses: Sequence[str],
    *,
    elsewhere: Elsewhere = NOTHING_ELSEWHERE,
    progress: Report = lambda _: None,
) -> Erasure:
    """Erase people, and everybody on the suppression list whom a restored backup or a late file brought back.

    An unfinished erasure is completed first, together with this one.

    Args:
        settings: the settings.
        addresses: normalised addresses of the people to erase. May be empty.
        elsewhere: what a deployment keeps outside of the lakehouse.
        progress: receives the number of finished tables.

    Returns:
        What was removed.

    Raises:
        WarehouseBusyError: a run or another erasure works on the warehouse.
        NoWarehouseError: there is no warehouse.
        WarehouseError: no run has finished, or a file can't be read or written.
        LandingError: the landing folder or a file in it can't be read or written.
    """
    roots(settings)
    warehouse = open_warehouse(settings.warehouse, settings.database)
    folder = open_warehouse(settings.privacy_folder)
    with write_locked(settings, warehouse):
        journal, cuts = read_journal(folder), None
        if journal is not None and not set(addresses) <= set(journal.addresses):
            _complete(settings, warehouse, folder, journal, progress)
            journal = None
        if journal is None:
            with open_locked_lakehouse(settings, warehouse) as lakehouse:
                journal, cuts = _begin(lakehouse, folder, addresses, elsewhere, progress)
        return _complete(settings, warehouse, folder, journal, progress, cuts)


def lift(settings: Settings, address: str) -> None:
    """Let a person in again who registered anew and consents. Data from before the erasure stays refused.

    Args:
        settings: the settings.
        address: normalised address.

    Raises:
        StediError: nobody with this address was erased.
        WarehouseBusyError: a run or an erasure works on the warehouse.
        WarehouseError: the warehouse is from before an erasure, or the suppression list can't be written.
    """
    warehouse = open_warehouse(settings.warehouse, settings.database)
    with open_lakehouse_for_writing(settings, warehouse):
        suppression = open_suppression(settings)
        require_applied(warehouse, suppression)
        mark_applied(warehouse, suppression.lift(address, at_ms=_now_ms()))


def _begin(
    lakehouse: Lakehouse, folder: Warehouse, addresses: Sequence[str], elsewhere: Elsewhere, progress: Report
) -> tuple[Journal, list[FileToCut]]:
    """Plan, write the journal, then add the tombstones; returns the journal and the landing files to cut."""
    now_ms, erasure_id = _now_ms(), new_run_id()
    people = _erased(lakehouse, addresses, now_ms)
    suppression = open_suppression(lakehouse.settings).with_key()
    preview = suppression.preview(people, erased_at_ms=now_ms) if people else suppression
    removal = PeopleRemoval(lakehouse, preview, _people(people), progress)
    planned = removal.plan(addresses)
    planned = replace(planned, erasure_id=erasure_id, remains=(*planned.remains, *elsewhere.remains))
    journal = Journal(
        erasure_id,
        _now(),
        elsewhere.asked_by or operating_system_user(),
        tuple(addresses),
        removal.people,
        removal.planned_files,
        planned,
        removal.identifiers,
        elsewhere,
    )
    write_journal(folder, journal)
    if people:
        suppression.add(people, erased_at_ms=now_ms, erasure_id=erasure_id)
    return journal, removal.cuts


def _complete(
    settings: Settings,
    warehouse: Warehouse,
    folder: Warehouse,
    journal: Journal,
    progress: Report,
    cuts: Sequence[FileToCut] | None = None,
) -> Erasure:
    """Carry out an erasure whose journal is written. Every step may have been done before.

    Args:
        settings: the settings.
        warehouse: the warehouse. The caller holds its write lock.
        folder: the privacy folder.
        journal: the journal.
        progress: receives the number of finished files and tables.
        cuts: the landing files to cut; None to search them again.
    """
    suppression = open_suppression(settings)
    if suppression.is_empty and not journal.addresses:
        # Nobody was ever erased, so a restored backup can contain nobody.
        delete_journal(folder)
        return journal.plan
    # The inventories are taken while no engine works: it has temporary files in the warehouse, which are deleted here.
    with warehouse.scratch():
        list_before(settings, folder, journal.identifiers, suppression, progress)
    with open_locked_lakehouse(settings, warehouse) as lakehouse:
        suppression = _with_tombstones(lakehouse, suppression, journal)
        removal = PeopleRemoval(lakehouse, suppression, journal.people, progress)
        journal, deleted = removal.apply(journal, lambda current: write_journal(folder, current), cuts)
    warehouse.confirm_write_lock()
    journal = _delete_old_objects(settings, journal)
    write_journal(folder, journal)
    with warehouse.scratch():
        after, result = scan_after(settings, journal.identifiers, suppression, progress)
    facts = certificate_facts(journal, deleted, read_before(folder), after, result, suppression, left_out(settings))
    certify(settings, folder, facts, journal.identifiers)
    if not any(hit.file.startswith("warehouse/") for hit in result.hits):
        mark_applied(warehouse, suppression)
    forget_before(folder)
    delete_journal(folder)
    return replace(
        journal.plan,
        deleted_files=deleted.files,
        deleted_bytes=deleted.bytes,
        certificate=folder.path(f"{CERTIFICATES}/{journal.erasure_id}.html"),
        found=result.hits,
        doubts=result.doubts,
    )


def _with_tombstones(lakehouse: Lakehouse, suppression: SuppressionList, journal: Journal) -> SuppressionList:
    """Return the list with the tombstones of an erasure, which a kill after the journal was written left out."""
    if not journal.addresses or any(stone.erasure_id == journal.erasure_id for stone in suppression.tombstones):
        return suppression
    now_ms = _now_ms()
    return suppression.add(_erased(lakehouse, journal.addresses, now_ms), erased_at_ms=now_ms, erasure_id=journal.erasure_id)


def _delete_old_objects(settings: Settings, journal: Journal) -> Journal:
    """Delete what S3 keeps of deleted and replaced objects; returns the journal with the numbers."""
    deleted = delete_old_objects(settings, datetime.fromisoformat(journal.started_at), journal.elsewhere.copies)
    before = journal.plan
    plan = replace(
        before,
        old_versions=before.old_versions + deleted.versions,
        uploads=before.uploads + deleted.uploads,
        copies=before.copies + deleted.copies,
        # A killed call may have recorded the same, with other numbers.
        remains=tuple({(kept.what, kept.why): kept for kept in (*before.remains, *deleted.remains)}.values()),
    )
    return replace(journal, plan=plan)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def _erased(lakehouse: Lakehouse, addresses: Sequence[str], now_ms: int) -> list[ErasedPerson]:
    """Return the people with the devices that are theirs now."""
    if not addresses:
        return []
    search_people(lakehouse.backend, addresses)
    devices = devices_of(lakehouse.backend, lakehouse.catalog, addresses, now_ms)
    return [ErasedPerson(address, tuple(devices[address])) for address in addresses]


def _people(erased: Sequence[ErasedPerson]) -> People:
    return People(
        tuple(person.address for person in erased), tuple(device for person in erased for device in person.devices)
    )
