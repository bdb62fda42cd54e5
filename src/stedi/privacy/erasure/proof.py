"""Prove an erasure: inventories before and after, the scan of every byte, and the signed certificate."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from stedi.config import Settings
from stedi.errors import UsageError
from stedi.ingest.applied_erasures import APPLIED_FILE
from stedi.ingest.suppression import SuppressionList
from stedi.maintenance.orphan_files import DeletedFiles
from stedi.model.progress import Report
from stedi.pipeline.pseudonym_key import KEY_FILES
from stedi.privacy.certificate import (
    FOLDER,
    CertificateFacts,
    OtherRemoval,
    Remainder,
    RemovedRows,
    ReplacedModel,
    RewrittenFile,
    Subject,
    WrittenCertificate,
    signing_key,
    spelling_digest,
    write_certificate,
)
from stedi.privacy.erasure.journal import Journal
from stedi.privacy.erasure.old_objects import delete_for_good
from stedi.privacy.erasures import JOURNAL
from stedi.privacy.identifiers import Identifier
from stedi.privacy.inventory import Inventory, InventoryEntry
from stedi.privacy.scan.roots import Root, ScanResult, scan, take_inventory
from stedi.steps.registry.published_models import models_folder
from stedi.storage import Warehouse, WarehouseFolder, open_warehouse

_BEFORE = "erasure-before.json"
# Files of the privacy folder that are secret, or change while or after the certificate is written.
_CHANGING = frozenset({JOURNAL, _BEFORE, ".lock", "signing.key", "suppression.key"})
# Files of the warehouse that change after the scan: the lock, which erasures are applied, and those of a key rotation. The
# file of the pseudonym key, because its SHA-256 is the key.
_CHANGING_IN_WAREHOUSE = frozenset({".lock", APPLIED_FILE}) | KEY_FILES


def roots(settings: Settings) -> tuple[Root, ...]:
    """Return the folders and prefixes that the lakehouse holds: warehouse, landing files, models, privacy folder.

    Raises:
        UsageError: the landing prefix has characters that a warehouse's may not have.
    """
    warehouse = open_warehouse(settings.warehouse, settings.database)
    models = models_folder(settings)
    found = [
        Root("warehouse", warehouse, _CHANGING_IN_WAREHOUSE),
        Root("landing", _landing(settings.landing)),
        Root("privacy", open_warehouse(settings.privacy_folder), _CHANGING),
    ]
    if not isinstance(warehouse, WarehouseFolder) or not models.resolve().is_relative_to(warehouse.root):
        found.append(Root("models", WarehouseFolder(models)))
    return tuple(found)


def _landing(landing: str) -> Warehouse:
    try:
        return open_warehouse(re.sub("^s3[an]?://", "s3://", landing, flags=re.IGNORECASE))
    except ValueError as error:
        raise UsageError(f"the landing prefix can't be searched: {error}; rename the prefix") from None


def list_before(
    settings: Settings, folder: Warehouse, identifiers: Sequence[Identifier], suppression: SuppressionList, progress: Report
) -> None:
    """Store the inventory of all files before the erasure, once. A killed erasure keeps that of its start."""
    try:
        folder.read(_BEFORE)
    except FileNotFoundError:
        assert suppression.key is not None
        inventory, _ = take_inventory(roots(settings), identifiers, suppression.key, progress)
        folder.replace(_BEFORE, json.dumps([asdict(entry) for entry in inventory.files]).encode())


def read_before(folder: Warehouse) -> Inventory:
    """Return the stored inventory."""
    return Inventory(tuple(InventoryEntry(**entry) for entry in json.loads(folder.read(_BEFORE))))


def forget_before(folder: Warehouse) -> None:
    """Delete the stored inventory, which is in the certificate."""
    delete_for_good(folder, _BEFORE)


def scan_after(
    settings: Settings, identifiers: Sequence[Identifier], suppression: SuppressionList, progress: Report
) -> tuple[Inventory, ScanResult]:
    """Read every byte of the lakehouse after the erasure, and search it for the people's identifiers."""
    assert suppression.key is not None
    return scan(roots(settings), identifiers, suppression.key, progress)


def left_out(settings: Settings) -> tuple[str, ...]:
    """Return the names of the files that are in no inventory."""
    return tuple(f"{root.name}/{name}" for root in roots(settings) for name in sorted(root.left_out))


def certify(
    settings: Settings, folder: Warehouse, facts: CertificateFacts, identifiers: Sequence[Identifier]
) -> WrittenCertificate | None:
    """Write the certificate; None if a killed call has written it."""
    try:
        folder.read(f"{FOLDER}/{facts.id}.json")
    except FileNotFoundError:
        configured = settings.privacy.signing_key
        key = signing_key(folder, configured.get_secret_value() if configured else None)
        return write_certificate(folder, facts, key, identifiers)
    return None


def certificate_facts(
    journal: Journal,
    deleted: DeletedFiles,
    before: Inventory,
    after: Inventory,
    result: ScanResult,
    suppression: SuppressionList,
    left_out: tuple[str, ...],
) -> CertificateFacts:
    """Return what the certificate of an erasure states.

    Args:
        journal: the journal, with all tables rewritten.
        deleted: the files that nothing referred to.
        before: the files before.
        after: the files afterwards.
        result: what the scan found.
        suppression: the suppression list.
        left_out: names of files that are in no inventory.
    """
    assert suppression.key is not None
    plan = journal.plan
    spellings: dict[str, set[str]] = defaultdict(set)
    for identifier in journal.identifiers:
        if identifier.kind == "address":
            spellings[identifier.subject].add(spelling_digest(suppression.key, identifier.value))
    others = {
        "files that no snapshot referred to": deleted.files,
        "older versions of objects in S3": plan.old_versions,
        "incomplete uploads to S3": plan.uploads,
        "copies of rows outside of the lakehouse, such as query results": plan.copies,
        "entries of the privacy log without their pseudonym": plan.log_entries,
    }
    return CertificateFacts(
        kind="erasure",
        id=journal.erasure_id,
        suppression_key=suppression.key_id,
        asked_by=journal.user,
        asked_at=journal.started_at,
        began_at=journal.started_at,
        finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        after=after,
        before=before,
        scan=result,
        subjects=tuple(Subject(subject, tuple(sorted(spellings[subject]))) for subject in plan.subjects),
        rows=tuple(RemovedRows(table.table, table.zone, table.rows) for table in plan.tables),
        landing_files=tuple(
            RewrittenFile(
                f"landing/{file.name}",
                None if file.is_deleted else f"landing/{file.name}",
                file.removed,
                file.bytes_before,
                file.bytes_after,
                file.kept_sha256,
                file.kept_sha256,
            )
            for file in plan.files
        ),
        data_files=tuple(file for table in journal.tables for file in table.files),
        histories=tuple(table.history for table in journal.tables),
        models=tuple(ReplacedModel(model.name, model.sha256, None) for model in plan.models),
        others=tuple(OtherRemoval(what, count) for what, count in others.items() if count),
        remainders=tuple(Remainder(remains.counted, remains.why) for remains in plan.remains),
        left_out=left_out,
    )
