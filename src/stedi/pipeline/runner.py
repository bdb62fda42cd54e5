"""One run: every table in order, then the record of what it left."""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from stedi.catalog import Catalog
from stedi.catalog.run_log import latest_run, new_run_id
from stedi.compute import Engine
from stedi.compute.start import engine_on_demand
from stedi.config import Settings
from stedi.errors import CatalogMovedError, NoWarehouseError, UsageError, WarehouseError
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.ledger import LedgerEntry
from stedi.ingest.listing import list_landing
from stedi.ingest.not_taken import NotTaken
from stedi.maintenance.maintain import keep_up
from stedi.model.alarms import Alarm, fall_of_consent
from stedi.model.feed import Feed
from stedi.model.identity import padded_keys
from stedi.model.query_settings import QuerySettings
from stedi.model.table import Table, with_ancestors
from stedi.pipeline.draft import Draft, Store, kept
from stedi.pipeline.landing import ingest, ledger_of
from stedi.pipeline.publish import record
from stedi.pipeline.refresh import fingerprint, refresh, staleness_reason
from stedi.pipeline.report import RunReport, TableReport
from stedi.storage import Warehouse, WarehouseFolder, open_warehouse
from stedi.storage.errors import translate_storage_errors
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.reference.device_owner import OWNER_IS_CLEAR
from stedi.tables.registry import BY_NAME, REFRESHED
from stedi.tables.trusted import customer

Progress = Callable[[str], None]

_FEED_OF = {feed.table.name: feed for feed in FEEDS}
# Another writer (Athena, say) commits in seconds; one that beats us so often in a row is at work all the time.
_TRIES = 5
_KEY_FILE, _KEY_BYTES = "pseudonym.key", 32


def run(
    settings: Settings,
    *,
    select: Sequence[str] = (),
    replay: Sequence[str] = (),
    reingest: bool = False,
    full_refresh: bool = False,
    dry_run: bool = False,
    publish: bool = True,
    on_alarm: Callable[[Alarm], None] = lambda _: None,
    progress: Progress = lambda _: None,
) -> RunReport:
    """Bring every table (or the selected ones and their inputs) up to date with the landing files.

    Tables on demand are among them once they were selected: a withdrawn person leaves these too.
    Files of the feeds in `replay` that have quarantined records are read again, changed or not;
    `reingest` reads all files again. `full_refresh` writes every derived table anew from the
    landing tables. A dry run does all of it on a draft and throws that away. A run that does not
    `publish` leaves its tables to a later one, which readers then see together with its own.
    `on_alarm` gets each alarm before the run is recorded: where it fails, the next run gives the alarm again.

    Raises:
        StediError: see `stedi.errors`; the tables are then as they were, or whole.
    """
    started = time.monotonic()
    selected = with_ancestors(select, BY_NAME)
    warehouse = open_warehouse(settings.warehouse, settings.database)
    _keep_apart(settings.landing, warehouse)
    feeds = [feed for feed in FEEDS if not select or feed.table.name in selected]
    not_taken = NotTaken.of(FEEDS, feeds)
    without = warehouse.root if isinstance(warehouse, WarehouseFolder) else None
    listed = list_landing(settings.landing, feeds, not_taken, without=without)

    def again(feed: Feed) -> Callable[[LedgerEntry], bool]:
        return lambda entry: reingest or (feed.name in replay and entry.quarantined > 0)

    with _opened(warehouse, dry_run) as (catalog, store, scratch):
        wanted = selected or {table.name for table in kept(store)}
        steps = _Steps(settings, store, scratch, wanted, listed, again, full_refresh)
        report = RunReport(new_run_id(), settings.of_queries, dry_run, not_taken=not_taken)
        with engine_on_demand(settings, warehouse, scratch, steps.parameters) as start_engine:
            steps.work(start_engine, catalog, report, progress)
            if publish:
                report.left_behind = steps.left_behind()
                report.alarms = _alarms(settings, catalog, store, dry_run)
            if catalog is not None and publish and not dry_run:
                for alarm in report.alarms:
                    on_alarm(alarm)
                number = record(catalog, start_engine, report)
                if number is not None and settings.maintain_every and number % settings.maintain_every == 0:
                    keep_up(catalog, start_engine(), settings.keep_runs, progress)
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _alarms(settings: Settings, catalog: Catalog | None, store: Store, dry_run: bool) -> list[Alarm]:
    """The alarms of all that happened since the last finished run, runs that died or did not publish included.

    No upkeep expires the snapshots of the last finished run. Where somebody else did, there is nothing to compare with.
    """
    name = customer.TABLE.name
    if catalog is None or (last := latest_run(catalog.warehouse)) is None:
        return []
    before = next((snapshot for snapshot in catalog.history(name) if snapshot.id == last.snapshots.get(name)), None)
    now = store.snapshot(name)
    if before is None or now is None:
        return []
    alarm = fall_of_consent(before.rows, now.rows, settings.consent.alarm_drop, dry_run=dry_run)
    return [alarm] if alarm else []


def _keep_apart(landing: str, warehouse: Warehouse) -> None:
    """See that no run takes the files of its own warehouse for landing files."""
    if not isinstance(warehouse, WarehouseFolder):
        return
    root = warehouse.root
    for folder in (folder for feed in FEEDS for folder in feed.folders):
        if (Path(landing) / folder).resolve() in (root, *root.parents):
            raise UsageError(f"warehouse {warehouse} lies among the landing files in {folder}; put it elsewhere")


@contextmanager
def _opened(warehouse: Warehouse, dry_run: bool) -> Iterator[tuple[Catalog | None, Store, Path]]:
    """The catalog, where the run's steps find and put tables, and a folder for what is not kept."""
    if not dry_run:
        with (
            warehouse.sole_writer(),
            translate_storage_errors(f"warehouse {warehouse} can't be written"),
            Catalog(warehouse, create=True) as catalog,
            warehouse.scratch() as scratch,
        ):
            yield catalog, catalog, scratch
        return
    with TemporaryDirectory(prefix="stedi-plan-") as folder:
        try:
            catalog = Catalog(warehouse)
        except NoWarehouseError:
            yield None, Draft(None, Path(folder)), Path(folder)
        else:
            with catalog, translate_storage_errors(f"warehouse {warehouse} can't be read"):
                yield catalog, Draft(catalog, Path(folder)), Path(folder)


class _Steps:
    """The steps of one run and what they share."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        scratch: Path,
        wanted: set[str],
        listed: Mapping[str, Sequence[LandingFile]],
        again: Callable[[Feed], Callable[[LedgerEntry], bool]],
        full_refresh: bool,
    ) -> None:
        self.store, self.wanted, self.listed, self.again, self.full_refresh = store, wanted, listed, again, full_refresh
        key = pseudonym_key(settings, may_make=not isinstance(store, Draft))
        self.parameters = query_parameters(settings.of_queries, key)
        self.held_back: set[str] = set()
        self.cached_deltas: dict[str, str] = {}

    def work(
        self, start_engine: Callable[[], Engine], catalog: Catalog | None, report: RunReport, progress: Progress
    ) -> None:
        """Do every step; what could not be published holds back what depends on it."""
        for table in (t for t in REFRESHED if t.name in self.wanted):
            progress(f"{table.name} …")
            started = time.monotonic()
            done = self._with_retries(table, start_engine, catalog, report)
            done.seconds = round(time.monotonic() - started, 3)
            if report.dry_run and done.status == "refreshed":
                done.status = "would refresh"
            if done.is_held_back:
                self.held_back.add(table.name)
            report.tables[table.name] = done
        # Of the other tables a job on AWS may not even look at the catalog.
        for feed in (f for f in FEEDS if f.table.name in self.wanted):
            entries = ledger_of(self.store, feed.table)
            report.quarantined[feed.name] = sum(entry.quarantined for entry in entries.values())
            for file in self.listed.get(feed.name, ()):
                entry = entries.get(file.name)
                if entry is not None and entry.other_format and entry.version == file.version:
                    report.not_taken.add(file.name, f"content is {entry.other_format}")
        for table in (t for t in REFRESHED if t.name in self.wanted):
            mark = self.store.latest_mark(table.name)
            broken = mark.reflects.get("rules", {}) if mark else {}
            if "taken_after_consent" in broken:
                report.outside_consent[table.name] = broken["taken_after_consent"]
            if OWNER_IS_CLEAR.name in broken:
                report.unresolved_readings = broken[OWNER_IS_CLEAR.name]

    def left_behind(self) -> list[str]:
        """The tables that stand, are not wanted, and no longer follow from their inputs."""
        behind: list[str] = []
        for table in (t for t in kept(self.store) if t.built_from and t.name not in self.wanted):
            if (snapshot := self.store.snapshot(table.name)) is None:
                continue
            if set(table.built_from) & set(behind) or staleness_reason(
                snapshot, fingerprint(table, self.store, self.parameters)
            ):
                behind.append(table.name)
        return behind

    def _with_retries(
        self, table: Table, start_engine: Callable[[], Engine], catalog: Catalog | None, report: RunReport
    ) -> TableReport:
        """Do a table's step; where another writer came between, look again and decide anew."""
        for attempt in range(1, _TRIES + 1):
            try:
                return self._step(table, start_engine, report)
            except CatalogMovedError:
                if attempt == _TRIES or catalog is None:
                    raise
                time.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")

    def _step(self, table: Table, start_engine: Callable[[], Engine], report: RunReport) -> TableReport:
        if feed := _FEED_OF.get(table.name):
            done, plan = ingest(feed, self.listed[feed.name], self.store, start_engine, report.run_id, self.again(feed))
            report.files[feed.name] = {"new": len(plan.new), "changed": len(plan.changed)}
            return done
        if self.held_back & set(table.built_from):
            snapshot = self.store.snapshot(table.name)
            return TableReport("skipped", snapshot.rows if snapshot else 0, snapshot_id=snapshot.id if snapshot else None)
        return refresh(
            table,
            self.store,
            start_engine,
            report.run_id,
            self.parameters,
            cached_deltas=self.cached_deltas,
            full_refresh=self.full_refresh,
        )


def query_parameters(settings: QuerySettings, key: bytes) -> dict[str, str | bytes]:
    """The named parameters of the tables' queries."""
    return {
        "consent_policy": settings.policy,
        "owners_confidence": str(settings.owners_confidence),
        "match_tolerance_ms": str(settings.match_tolerance_ms),
        **padded_keys(key),
    }


def pseudonym_key(settings: Settings, *, may_make: bool = True) -> bytes:
    """The key of the pseudonyms: the configured one, else one made once and kept in the warehouse.

    A plan for a warehouse without a key gets one that is not kept. The kept one is text: set as the secret, it
    makes the same pseudonyms.

    Raises:
        WarehouseError: none is configured, and the warehouse lies where no secret may be kept, or has lost its key; or
            it is empty.
    """
    if settings.pseudonym_key is not None:
        return _key_of(settings.pseudonym_key.get_secret_value().encode(), "the configured pseudonym key")
    warehouse = open_warehouse(settings.warehouse, settings.database)
    if not warehouse.keeps_secrets:
        raise WarehouseError(
            f"there is no pseudonym key, and beside the data in {warehouse} it would not be secret; "
            "set STEDI_PSEUDONYM_KEY, to the same secret for every run"
        )
    try:
        content = warehouse.read(_KEY_FILE)
    except FileNotFoundError:
        if latest_run(warehouse) is not None:
            raise WarehouseError(
                f"warehouse {warehouse} has lost its {_KEY_FILE}, and STEDI_PSEUDONYM_KEY is not set; another key "
                "would give everybody another pseudonym, so set it to the secret of the runs before, or put the file back"
            ) from None
        content = secrets.token_urlsafe(_KEY_BYTES).encode()
        if may_make:
            warehouse.create(_KEY_FILE, content, private=True)
    except OSError as error:
        raise WarehouseError(
            f"the pseudonym key in warehouse {warehouse} can't be read: {error.strerror}; "
            "set STEDI_PSEUDONYM_KEY, or work as the user who made it"
        ) from error
    # Warehouses of earlier versions keep the key itself.
    return content if len(content) == _KEY_BYTES else _key_of(content.strip(), warehouse.path(_KEY_FILE))


def _key_of(secret: bytes, what: str) -> bytes:
    """Any length of secret as one block's worth of key; nothing is no secret, and everybody could compute what it keys."""
    if not secret.strip():
        raise WarehouseError(f"{what} is empty; give it the secret of the runs before, or, where there are none, any")
    return hashlib.sha256(secret).digest()
