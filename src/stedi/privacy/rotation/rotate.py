"""Rotate the pseudonym key: all pseudonymous tables in one run, then the destruction of everything with the old key.

Readers see old pseudonyms until the run is published, and only new ones afterwards. From the start to the end every command
that needs the key refuses. Each step can be repeated: a killed rotation is completed by the next call.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from stedi.catalog.run_log import latest_run, new_run_id, read_runs
from stedi.config import Settings
from stedi.errors import UsageError, WarehouseError
from stedi.ingest.applied_erasures import require_applied
from stedi.ingest.suppression import SuppressionList, open_suppression
from stedi.model.progress import Report
from stedi.pipeline.pseudonym_key import (
    KEY_FILE,
    ROTATION_KEYS,
    KeyState,
    key_of,
    new_secret,
    pseudonym_key,
    read_key_file,
    read_key_state,
    stored_key,
    write_key_state,
)
from stedi.pipeline.publish import publish_run
from stedi.pipeline.report import RunReport
from stedi.pipeline.runner import refresh_derived_tables
from stedi.privacy.certificate import FOLDER as CERTIFICATES
from stedi.privacy.certificate import CertificateFacts, OtherRemoval, Remainder, RemovedRows, RewrittenHistory, signing_key
from stedi.privacy.erasure.journal import read_journal as read_erasure
from stedi.privacy.erasure.proof import certify, left_out, roots
from stedi.privacy.lakehouse import Lakehouse, open_lakehouse
from stedi.privacy.privacy_log import operating_system_user, read_log
from stedi.privacy.rotation.history import (
    OldObjects,
    check_references,
    count_old_pseudonyms,
    delete_files,
    delete_old_objects,
    forget_old_runs,
    rekey_log,
    remove_examples,
    tables_with_history,
)
from stedi.privacy.rotation.journal import (
    Keys,
    RotationJournal,
    delete_rotation,
    destroy,
    read_keys,
    read_rotation,
    write_keys,
    write_rotation,
)
from stedi.privacy.rotation.key_ids import key_id
from stedi.privacy.rotation.plan import KeyRotation, RekeyedTable
from stedi.privacy.rotation.pseudonyms import PseudonymMap, old_parameters, pseudonymous_tables
from stedi.privacy.scan.roots import scan
from stedi.steps.registry.published_models import lock_models, models_folder
from stedi.steps.registry.rekeyed_people import plan_rekeying, rekey_people
from stedi.storage import Warehouse, open_warehouse
from stedi.tables.operations import rule_result

# A configured secret may be chosen by a person. Whoever sees pseudonyms can test guesses of a short one.
MIN_SECRET_CHARACTERS = 32
# Old pseudonyms that are searched for in every byte. With 2,000 the search reads 92 MB/s on one core, with 10,000 12 MB/s,
# because the automaton no longer fits into the processor's cache.
MAX_SEARCHED = 2_000


def plan(settings: Settings) -> KeyRotation:
    """Return what `rotate` would change. Changes nothing.

    Args:
        settings: the settings.

    Raises:
        NoWarehouseError: there is no warehouse.
        WarehouseError: no run has finished, or the key is missing or not that of the warehouse.
    """
    warehouse = open_warehouse(settings.warehouse, settings.database)
    journal = read_rotation(warehouse)
    if journal is not None:
        return replace(journal.plan, is_unfinished=True)
    old = pseudonym_key(settings, create=False)
    with (
        TemporaryDirectory(prefix="stedi-rotation-") as scratch,
        open_lakehouse(settings, warehouse, Path(scratch), old) as lakehouse,
    ):
        suppression = open_suppression(settings)
        require_applied(warehouse, suppression)
        # Without a new key, the old one stands for it: the plan counts who is known.
        return _plan(lakehouse, Keys(old, old), suppression)


def rotate(settings: Settings, secret: str | None = None, *, progress: Report = lambda _: None) -> KeyRotation:
    """Rotate the pseudonym key, or complete a rotation that was interrupted.

    Args:
        settings: the settings. A configured key is the old one.
        secret: the secret of the new key, if the key is configured. A warehouse that stores its key gets a random one.
        progress: receives the number of finished tables.

    Returns:
        What was changed.

    Raises:
        NoWarehouseError: there is no warehouse.
        UsageError: the new secret is missing, needless, too short or the old one.
        WarehouseBusyError: a run, an erasure, another rotation or a training is working.
        WarehouseError: no run has finished, an erasure is unfinished, a file can't be read or written, or a branch or tag of
            another program keeps old snapshots.
        RuleError: an error-level rule failed. The key and the published tables are as before.
    """
    warehouse = open_warehouse(settings.warehouse, settings.database)
    # Taking the write lock would create a missing warehouse.
    if latest_run(warehouse) is None:
        raise WarehouseError(f"no run has finished in {warehouse}; start one with `stedi run`")
    with warehouse.write_lock(), _locked_models(settings):
        folder = open_warehouse(settings.privacy_folder)
        suppression = open_suppression(settings).with_key()
        require_applied(warehouse, suppression)
        if read_erasure(folder) is not None:
            raise WarehouseError("an erasure is unfinished; complete it with `stedi erase --restore-check` first")
        journal = read_rotation(warehouse)
        if journal is None:
            journal = _begin(settings, warehouse, _new_keys(settings, secret), suppression)
        if journal.facts is None:
            keys = _keys_of(journal, settings, warehouse, suppression, secret)
            journal = _apply(settings, warehouse, journal, keys, suppression, progress)
        return _finish(settings, warehouse, folder, journal)


@contextmanager
def _locked_models(settings: Settings) -> Iterator[None]:
    """Keep trainings out, whose people would have old pseudonyms."""
    with lock_models(settings) if models_folder(settings).is_dir() else nullcontext():
        yield


def _new_keys(settings: Settings, secret: str | None) -> Keys:
    old = pseudonym_key(settings, create=False)
    if settings.pseudonym_key is None:
        if secret is not None:
            raise UsageError("the warehouse stores its key and gets a random one; leave out --new-key-file")
        random = new_secret()
        return Keys(old, key_of(random, KEY_FILE), random)
    return Keys(old, _configured_key(secret, old))


def _configured_key(secret: str | None, old: bytes) -> bytes:
    if secret is None:
        raise UsageError("the key is configured (STEDI_PSEUDONYM_KEY); give the new secret with --new-key-file FILE, or -")
    if len(secret) < MIN_SECRET_CHARACTERS:
        raise UsageError(
            f"the new secret has fewer than {MIN_SECRET_CHARACTERS} characters; create one with `openssl rand -base64 32`"
        )
    new = key_of(secret.encode(), "the new secret")
    if new == old:
        raise UsageError("the new secret is the configured one; give another")
    return new


def _keys_of(
    journal: RotationJournal, settings: Settings, warehouse: Warehouse, suppression: SuppressionList, secret: str | None
) -> Keys:
    """Return the keys of a rotation whose journal is written."""
    keys = read_keys(warehouse) if warehouse.can_store_secrets else None
    if keys is None:
        old = stored_key(settings)
        assert old is not None
        keys = Keys(old, _configured_key(secret, old))
    if (key_id(suppression, keys.old), key_id(suppression, keys.new)) != (journal.old_key_id, journal.new_key_id):
        raise WarehouseError(
            "these are not the keys of the unfinished rotation; until it is complete, leave STEDI_PSEUDONYM_KEY as it was, "
            "and give the same --new-key-file"
        )
    return keys


def _begin(settings: Settings, warehouse: Warehouse, keys: Keys, suppression: SuppressionList) -> RotationJournal:
    """Check what would stop a rotation in the middle, and write the journal."""
    configured = settings.privacy.signing_key
    signing_key(open_warehouse(settings.privacy_folder), configured.get_secret_value() if configured else None)
    with warehouse.scratch() as scratch, open_lakehouse(settings, warehouse, scratch, keys.old) as lakehouse:
        check_references(lakehouse.catalog)
        planned = _plan(lakehouse, keys, suppression)
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    rotation_id = new_run_id()
    planned = replace(planned, rotation_id=rotation_id, new_key_id=key_id(suppression, keys.new))
    journal = RotationJournal(
        rotation_id, started_at, operating_system_user(), planned.old_key_id, planned.new_key_id, planned
    )
    if keys.new_secret is not None:
        write_keys(warehouse, keys)
    write_rotation(warehouse, journal)
    write_key_state(warehouse, KeyState.of(keys.new, rotation_id))
    return journal


def _plan(lakehouse: Lakehouse, keys: Keys, suppression: SuppressionList) -> KeyRotation:
    tables = []
    for table in tables_with_history():
        metadata, snapshot = lakehouse.catalog.table_metadata(table.name), lakehouse.catalog.snapshot(table.name)
        if metadata is not None and snapshot is not None:
            rows = 0 if table is rule_result.TABLE else snapshot.rows
            tables.append(RekeyedTable(table.name, table.zone, rows, len(metadata.snapshots)))
    pseudonyms = _pseudonym_map(lakehouse, keys, suppression)
    return KeyRotation(
        old_key_id=key_id(suppression, keys.old),
        is_configured=lakehouse.settings.pseudonym_key is not None,
        tables=tuple(tables),
        runs=len(read_runs(lakehouse.warehouse)),
        models=tuple(plan_rekeying(models_folder(lakehouse.settings), pseudonyms.new_pseudonyms)),
        log_entries=len(read_log(lakehouse.warehouse)),
    )


def _pseudonym_map(lakehouse: Lakehouse, keys: Keys, suppression: SuppressionList) -> PseudonymMap:
    parameters = {**lakehouse.parameters, **suppression.parameters, **old_parameters(keys.old)}
    lakehouse.backend.set_parameters(parameters)
    return PseudonymMap(lakehouse.backend, lakehouse.catalog)


def _apply(
    settings: Settings,
    warehouse: Warehouse,
    journal: RotationJournal,
    keys: Keys,
    suppression: SuppressionList,
    progress: Report,
) -> RotationJournal:
    """Carry out a rotation whose journal is written, up to the destruction of the keys. Steps may have been done before."""
    # A killed call may have stopped before it.
    write_key_state(warehouse, KeyState.of(keys.new, journal.rotation_id))
    with ExitStack() as resources:
        scratch = resources.enter_context(warehouse.scratch())
        lakehouse = resources.enter_context(open_lakehouse(settings, warehouse, scratch, keys.new))
        catalog, backend = lakehouse.catalog, lakehouse.backend
        pseudonyms = _pseudonym_map(lakehouse, keys, suppression)
        # A killed call may have published. Another program may have changed a table since.
        if lakehouse.run.run_id != journal.rotation_id or count_old_pseudonyms(catalog, backend, pseudonyms):
            _publish(lakehouse, journal, keys, suppression, progress)
        rekey_people(models_folder(settings), pseudonyms.new_pseudonyms)
        subjects = {stone.subject for stone in suppression.tombstones}
        rekey_log(warehouse, pseudonyms, subjects, keys.new)
        forget_old_runs(catalog)
        deleted, old_objects = delete_files(catalog), delete_old_objects(warehouse)
        if old_rows := count_old_pseudonyms(catalog, backend, pseudonyms):
            raise WarehouseError(
                f"{old_rows:,} rows still have old pseudonyms, because another program changed tables; "
                "start `stedi keys rotate` again"
            )
        identifiers, known = pseudonyms.identifiers(MAX_SEARCHED), len(pseudonyms)
    if warehouse.can_store_secrets:
        _replace_key_file(warehouse, keys)
    after, result = scan(roots(settings), identifiers, suppression.key or b"", progress)
    planned = replace(
        journal.plan, deleted_files=deleted.files, deleted_bytes=deleted.bytes, found=result.hits, doubts=result.doubts
    )
    journal = replace(journal, plan=planned)
    facts = CertificateFacts(
        kind="key_rotation",
        id=journal.rotation_id,
        suppression_key=suppression.key_id,
        asked_by=journal.user,
        asked_at=journal.started_at,
        began_at=journal.started_at,
        finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        after=after,
        scan=result,
        keys=(journal.old_key_id,) if keys.new_secret is not None else (),
        rows=tuple(RemovedRows(table.table, table.zone, table.rows) for table in planned.tables if table.rows),
        histories=tuple(RewrittenHistory(table.table, 0, table.snapshots) for table in planned.tables),
        others=_other_removals(planned, old_objects),
        remainders=_remainders(journal, known, old_objects, is_stored=keys.new_secret is not None),
        left_out=left_out(settings),
    )
    journal = replace(journal, facts=facts)
    write_rotation(warehouse, journal)
    return journal


def _publish(
    lakehouse: Lakehouse, journal: RotationJournal, keys: Keys, suppression: SuppressionList, progress: Report
) -> None:
    """Compute the tables with the new key, and publish them as one run."""
    report = RunReport(journal.rotation_id, lakehouse.run.settings, dry_run=False)
    catalog, backend = lakehouse.catalog, lakehouse.backend
    refresh_derived_tables(catalog, lakehouse.parameters, suppression, lambda: backend, report, progress, publish=False)
    if any(report.tables[table.name].is_stale for table in pseudonymous_tables() if table.name in report.tables):
        # The next run computes them with the old key again, because nothing was published.
        write_key_state(lakehouse.warehouse, KeyState.of(keys.old))
        delete_rotation(lakehouse.warehouse)
        report.raise_failures()
    remove_examples(catalog, backend, journal.rotation_id)
    publish_run(catalog, lambda: backend, report)


def _replace_key_file(warehouse: Warehouse, keys: Keys) -> None:
    """Destroy the warehouse's file with the old key, and write the new one unless it is configured.

    Meanwhile the new secret is in the keys of the rotation.
    """
    stored = read_key_file(warehouse)
    if stored == keys.old:
        destroy(warehouse, KEY_FILE)
    if keys.new_secret is not None and stored != keys.new:
        destroy(warehouse, KEY_FILE)
        warehouse.create(KEY_FILE, keys.new_secret, private=True)


def _other_removals(planned: KeyRotation, old_objects: OldObjects) -> tuple[OtherRemoval, ...]:
    stale = sum(model.unknown > 0 for model in planned.models)
    counts = {
        "entries of the run log": planned.runs,
        "lists of people of models, computed anew": len(planned.models),
        "models out of use, because some of their people are in no landing table": stale,
        "entries of the privacy log, computed anew": planned.log_entries,
        "files that no snapshot referred to": planned.deleted_files,
        "old versions of objects": old_objects.deleted,
    }
    return tuple(OtherRemoval(what, count) for what, count in counts.items() if count)


def _remainders(journal: RotationJournal, known: int, old_objects: OldObjects, *, is_stored: bool) -> tuple[Remainder, ...]:
    remainders = [
        Remainder(
            "copies of the old key and of old pseudonyms in backups, and in overwritten blocks that SSDs, copy-on-write "
            "file systems and snapshots of volumes keep",
            "This program can't reach them. Destroy the backups from before the rotation",
        )
        if is_stored
        else Remainder(
            f"the old secret of key {journal.old_key_id} where it is configured, and in its backups",
            "This program does not store it. Destroy it there",
        )
    ]
    if old_objects.locked:
        until = old_objects.locked_until
        remainders.append(
            Remainder(
                f"{old_objects.locked:,} old versions of objects with old pseudonyms",
                "The bucket's object lock protects them",
                until.isoformat() if until else None,
            )
        )
    if known > MAX_SEARCHED:
        remainders.append(
            Remainder(
                f"old pseudonyms of {known - MAX_SEARCHED:,} of {known:,} people and devices",
                f"Searched for in all tables, where none is left. A random sample of {MAX_SEARCHED:,} was searched for in "
                "every byte",
            )
        )
    return tuple(remainders)


def _finish(settings: Settings, warehouse: Warehouse, folder: Warehouse, journal: RotationJournal) -> KeyRotation:
    """Destroy the old key, write the certificate, and end the rotation."""
    assert journal.facts is not None
    destroy(warehouse, ROTATION_KEYS)
    certify(settings, folder, journal.facts, ())
    if state := read_key_state(warehouse):
        write_key_state(warehouse, replace(state, rotation_id=None))
    delete_rotation(warehouse)
    return replace(journal.plan, certificate=f"{CERTIFICATES}/{journal.rotation_id}.html")
