"""A lakehouse that is changed for privacy (erasure, retention, rotation): everything they work on, opened together."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from stedi.catalog import Catalog
from stedi.catalog.run_log import RunRecord, latest_run
from stedi.compute import Backend
from stedi.compute.start import start_backend
from stedi.config import Settings
from stedi.errors import WarehouseError
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.listing import list_landing
from stedi.ingest.suppression import SuppressionList
from stedi.model.feed import Feed
from stedi.pipeline.pseudonym_key import pseudonym_key, query_parameters
from stedi.storage import Warehouse
from stedi.storage.errors import translate_storage_errors
from stedi.tables.landing.feeds import FEEDS


@dataclass(frozen=True)
class Lakehouse:
    """An open lakehouse.

    Attributes:
        settings: the settings.
        warehouse: the warehouse.
        catalog: its catalog.
        backend: runs the queries. It has the parameters of the pseudonyms; those of the suppression list are set by `use`.
        scratch: folder for temporary files.
        parameters: the parameters of the tables' queries, with the settings of the newest finished run.
        run: the newest finished run.
    """

    settings: Settings
    warehouse: Warehouse
    catalog: Catalog
    backend: Backend
    scratch: Path
    parameters: Mapping[str, str | bytes]
    run: RunRecord

    def use(self, suppression: SuppressionList) -> None:
        """Give the backend the parameters of a suppression list."""
        self.backend.set_parameters({**self.parameters, **suppression.parameters})

    def landing_files(self) -> Mapping[Feed, Sequence[LandingFile]]:
        """List the landing files of all feeds.

        Raises:
            LandingError: the landing folder is missing or can't be read.
        """
        listed = list_landing(self.settings.landing, FEEDS)
        return {feed: listed[feed.name] for feed in FEEDS}


@contextmanager
def open_lakehouse(settings: Settings, warehouse: Warehouse, scratch: Path, key: bytes | None = None) -> Iterator[Lakehouse]:
    """Open a lakehouse. The caller holds the write lock, or only reads.

    Args:
        settings: the settings.
        warehouse: the warehouse of the settings.
        scratch: existing folder for temporary files.
        key: key of the pseudonyms; by default that of the settings.

    Raises:
        NoWarehouseError: there is no warehouse.
        WarehouseError: no run has finished, or the warehouse can't be read.
    """
    with translate_storage_errors(f"warehouse {warehouse} can't be used"), Catalog(warehouse) as catalog:
        run = latest_run(warehouse)
        if run is None:
            raise WarehouseError(f"no run has finished in {warehouse}; start one with `stedi run`")
        parameters = query_parameters(run.settings, key or pseudonym_key(settings, create=False))
        with start_backend(settings, warehouse, scratch) as backend:
            backend.set_parameters(parameters)
            yield Lakehouse(settings, warehouse, catalog, backend, scratch, parameters, run)


@contextmanager
def write_locked(settings: Settings, warehouse: Warehouse) -> Iterator[None]:
    """Hold the write lock of a lakehouse in which a run has finished.

    Raises:
        WarehouseBusyError: a run or an erasure works on the warehouse.
        NoWarehouseError: there is no warehouse.
        WarehouseError: no run has finished, or the warehouse can't be read.
    """
    # Taking the write lock would create a missing warehouse.
    with open_lakehouse_for_reading(settings, warehouse):
        pass
    with warehouse.write_lock():
        yield


@contextmanager
def open_lakehouse_for_writing(settings: Settings, warehouse: Warehouse) -> Iterator[Lakehouse]:
    """Open a lakehouse, and hold its write lock. Raises the errors of `write_locked`."""
    with write_locked(settings, warehouse), open_locked_lakehouse(settings, warehouse) as lakehouse:
        yield lakehouse


@contextmanager
def open_locked_lakehouse(settings: Settings, warehouse: Warehouse) -> Iterator[Lakehouse]:
    """Open a lakehouse whose write lock the caller holds, with the warehouse's folder for temporary files."""
    with warehouse.scratch() as scratch, open_lakehouse(settings, warehouse, scratch) as lakehouse:
        yield lakehouse


@contextmanager
def open_lakehouse_for_reading(settings: Settings, warehouse: Warehouse) -> Iterator[Lakehouse]:
    """Open a lakehouse without the write lock, with a folder for temporary files."""
    with (
        TemporaryDirectory(prefix="stedi-erasure-") as scratch,
        open_lakehouse(settings, warehouse, Path(scratch)) as lakehouse,
    ):
        yield lakehouse
