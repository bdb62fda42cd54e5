"""Hand over the data of one person: articles 15 (access) and 20 (portability) of the GDPR.

Reads the tables of the newest finished run, all of them for this person alone. The question is written to the privacy log
first. Texts and records that also name other people are left out and counted.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from stedi import __version__
from stedi.catalog import Catalog
from stedi.catalog.run_log import RunRecord
from stedi.compute.duckdb import DuckDBBackend
from stedi.compute.start import start_duckdb
from stedi.config import Settings
from stedi.errors import OutputError, StediError, WarehouseError
from stedi.ingest.applied_erasures import open_current_warehouse
from stedi.ingest.skipped_files import path_without_address
from stedi.ingest.suppression import open_suppression
from stedi.model.data_files import DataFiles
from stedi.model.identity import padded_keys
from stedi.model.progress import Progress, Report
from stedi.model.table import Table
from stedi.pipeline.pseudonym_key import pseudonym_key
from stedi.privacy.package_folder import (
    Draft,
    PackageFile,
    check_package_folder,
    draft_package,
    publish_package,
    translate_write_errors,
    write_json,
    write_text,
)
from stedi.privacy.package_rows import ExportedTable, LeftOut, RowExport
from stedi.privacy.package_text import data_dictionary, data_dictionary_text, readme
from stedi.privacy.person import finished_runs, learned_models, read_claims, read_devices, read_holds
from stedi.privacy.privacy_log import log_question_about
from stedi.privacy.receipts import consent_receipts, iso_time
from stedi.privacy.report import Claim, DevicePeriod, Hold, LearnedModel
from stedi.privacy.timeline import Consent, read_consent
from stedi.privacy.whose_rows import PEOPLE, row_match, search_devices, search_people
from stedi.steps.registry.published_models import MODEL_FILES, models_folder
from stedi.storage import Warehouse
from stedi.storage.errors import translate_storage_errors
from stedi.tables.registry import ALL, BY_NAME

# The files of a model that contain what it learned.
_WEIGHTS = tuple(name for name in MODEL_FILES if not name.startswith("card."))


@dataclass(frozen=True)
class Package:
    """A package of one person's data.

    Attributes:
        folder: its folder.
        run_id: the finished run whose tables it contains.
        files: its files, without the manifest.
        left_out: what it leaves out because it also names others.
    """

    folder: Path
    run_id: str
    files: tuple[PackageFile, ...]
    left_out: LeftOut

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class _Content:
    """What the lakehouse knows about a person. The rows are in the draft's files."""

    run: RunRecord
    tables: tuple[ExportedTable, ...]
    consent: Consent
    holds: tuple[Hold, ...]
    devices: tuple[DevicePeriod, ...]
    claims: tuple[Claim, ...]
    models: tuple[LearnedModel, ...]
    left_out: LeftOut


def export_person(settings: Settings, person: str, out: Path, *, progress: Report = lambda _: None) -> Package:
    """Log the question, then write everything about a person to a new folder, which appears as a whole.

    Args:
        settings: where the warehouse and the models are, who the controller is, and the retention.
        person: normalised e-mail address (`identity.person_of`).
        out: the folder: new, or empty.
        progress: receives the table that is read.

    Raises:
        UsageError: nothing can be written to the folder, or it is not empty.
        StediError: the newest finished run contains nothing about the person.
        WarehouseError: there is no finished run, the question can't be logged, or a file can't be read.
        OutputError: the folder can't be written.
    """
    folder = check_package_folder(settings, out)
    warehouse = open_current_warehouse(settings)
    with translate_storage_errors(f"warehouse {warehouse} can't be read"):
        finished_runs(warehouse)
    with draft_package(folder) as draft:
        with (
            translate_storage_errors(f"warehouse {warehouse} can't be read"),
            start_duckdb(settings, warehouse, draft.scratch) as backend,
        ):
            backend.set_parameters(padded_keys(pseudonym_key(settings, create=False)))
            search_people(backend, [person])
            [row] = backend.select(f"SELECT pseudonym FROM {PEOPLE}")
            log_question_about(warehouse, open_suppression(settings), "access", person, row["pseudonym"])
            content = _read(settings, warehouse, backend, person, row["pseudonym"], draft, progress)
        with translate_write_errors():
            _write_texts(settings, content, draft.package)
            rows = {name: count for table in content.tables for name, count in table.files.items()}
            files = publish_package(draft, folder, rows)
    return Package(out, content.run.run_id, files, content.left_out)


def _read(
    settings: Settings,
    warehouse: Warehouse,
    backend: DuckDBBackend,
    person: str,
    pseudonym: str,
    draft: Draft,
    progress: Report,
) -> _Content:
    """Write the rows to the draft. If maintenance deletes files meanwhile, start again with the newest run that is left."""
    while True:
        runs = finished_runs(warehouse)
        try:
            with Catalog(warehouse) as catalog:
                models = learned_models(settings, pseudonym)
                content = _read_run(catalog, backend, runs[-1], person, models, draft, progress)
            break
        except WarehouseError as error:
            if finished_runs(warehouse) == runs:
                if str(draft.root) in str(error):
                    # The engine's message contains the path, which may contain an address.
                    raise OutputError(
                        "the folder of --out can't be written; make room on its disk, then run again"
                    ) from error
                raise
            draft.make_empty(draft.package)
    if not (content.tables or content.models or content.left_out.quarantined_records):
        raise StediError(
            "the newest finished run contains nothing about this address; check it, or start `stedi run` if its files are "
            "new; `stedi person` also searches older snapshots"
        )
    return content


def _read_run(
    catalog: Catalog,
    backend: DuckDBBackend,
    run: RunRecord,
    person: str,
    models: Sequence[LearnedModel],
    draft: Draft,
    progress: Report,
) -> _Content:
    @cache
    def files(table: str) -> DataFiles:
        snapshot_id = run.snapshots.get(table)
        return DataFiles() if snapshot_id is None else catalog.files(table, snapshot_id)

    def scan(table: Table) -> str:
        return backend.scan(table, files(table.name))

    for name in ("customer_landing", "consent_hold", "device_owner"):
        match = row_match(BY_NAME[name])
        assert match is not None
        backend.materialize(name, f"SELECT * FROM ({scan(BY_NAME[name])}) AS r WHERE {match.condition}")
    search_devices(backend, "device_owner")
    export = RowExport(backend, person, scan, draft.package, draft.scratch)
    tables = []
    about_people = [table for table in ALL if row_match(table)]
    for number, table in enumerate(about_people):
        progress(Progress(f"reading {table.name}", number, len(about_people), "tables"))
        if exported := export.write(table):
            tables.append(exported)
    return _Content(
        run,
        tuple(tables),
        read_consent(backend),
        read_holds(backend),
        read_devices(backend),
        read_claims(backend),
        tuple(models),
        export.left_out,
    )


def _write_texts(settings: Settings, content: _Content, package: Path) -> None:
    """Write the files that are no tables."""
    now = datetime.now(UTC)
    holds = [_with_times(asdict(hold)) | {"source_file": path_without_address(hold.source_file)} for hold in content.holds]
    receipts = consent_receipts(content.consent, content.holds, settings.privacy, now)
    documents: Mapping[str, object] = {
        "consent.json": {**_with_times(asdict(content.consent)), "holds": holds},
        "consent_receipts.jsonld": receipts,
        "devices.json": {
            "devices": [_with_times(asdict(device)) for device in content.devices],
            "claims": [_with_times(asdict(claim)) for claim in content.claims],
        },
        "models.json": [asdict(model) | {"sha256": _model_hashes(settings, model)} for model in content.models],
        "provenance.json": _provenance(content, now),
        "data_dictionary.json": data_dictionary(content.tables),
    }
    for name, document in documents.items():
        write_json(package / name, document)
    write_text(package / "data_dictionary.md", data_dictionary_text(content.tables))
    write_text(package / "README.md", readme(settings.privacy, content.tables, content.left_out, content.run, now))


def _with_times(value: Any) -> Any:
    """Add a time in ISO 8601 beside each time in ms, in nested mappings and sequences."""
    if isinstance(value, dict):
        times = {
            key.removesuffix("_ms"): None if inner is None else iso_time(inner)
            for key, inner in value.items()
            if key.endswith("_ms")
        }
        return {**{key: _with_times(inner) for key, inner in value.items()}, **times}
    return [_with_times(inner) for inner in value] if isinstance(value, list | tuple) else value


def _model_hashes(settings: Settings, model: LearnedModel) -> dict[str, str]:
    folder = models_folder(settings) / model.model
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _WEIGHTS if (folder / name).exists()}


def _provenance(content: _Content, now: datetime) -> dict[str, Any]:
    return {
        "made_at": now.isoformat(timespec="seconds"),
        "program": f"stedi {__version__}",
        "run_id": content.run.run_id,
        "run_finished_at": content.run.finished_at,
        "consent_policy": content.run.settings.policy,
        "landing_files": {table.name: dict(table.sources) for table in content.tables if table.sources},
        "left_out": asdict(content.left_out),
    }
