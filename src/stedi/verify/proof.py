"""Prove that the tables hold what they should: rebuilt, they are the same, and no promise is broken.

The rebuild reads the landing files and the landing tables anew, in a folder that is thrown away.
The invariants are asked of the tables in their own words, apart from the queries that made them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stedi.catalog import Catalog
from stedi.catalog.run_log import latest_run
from stedi.compute import Engine
from stedi.compute.start import start_embedded
from stedi.config import Settings
from stedi.errors import WarehouseError
from stedi.ingest.landing_file import LandingFile
from stedi.ingest.listing import list_files
from stedi.model.feed import Feed
from stedi.model.identity import customer_pseudonym, device_pseudonym
from stedi.model.sql import literal, quoted
from stedi.model.table import Table
from stedi.pipeline import pseudonym_key, query_parameters
from stedi.pipeline.draft import Draft, kept
from stedi.pipeline.landing import ledger_of
from stedi.pipeline.refresh import refresh
from stedi.storage import open_warehouse
from stedi.storage.errors import translate_storage_errors
from stedi.tables.landing import quarantine
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.registry import REFRESHED

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Finding:
    """One question to a table: of how many rows it was asked, and how many answered wrong."""

    table: str
    question: str
    rows: int
    wrong: int

    @property
    def holds(self) -> bool:
        """Whether there is nothing wrong."""
        return self.wrong == 0


_LANDING_TABLES = [feed.table.name for feed in FEEDS]
_RECORDS = """
    SELECT person, shareWithResearchAsOfDate IS NOT NULL AS consents, arrived_at,
        coalesce(lastUpdateDate, registrationDate) AS moment
    FROM customer_landing WHERE person IS NOT NULL"""
# Those of whom no usable record arrived after the last one that can't be used.
_ON_HOLD = f"""
    SELECT q.person FROM (
        SELECT unnest(string_split(people, chr(10))) AS person, arrived_at FROM quarantine WHERE people IS NOT NULL) AS q
    WHERE NOT EXISTS (
        SELECT 1 FROM ({_RECORDS}) AS later WHERE later.person = q.person AND later.arrived_at > q.arrived_at)"""
# Those whose newest records all consent, and who are not on hold.
_CONSENTING = f"""
    SELECT r.person FROM ({_RECORDS}) AS r
    JOIN (SELECT person, max(moment) AS newest FROM ({_RECORDS}) AS records GROUP BY person) AS n
      ON n.person = r.person AND n.newest = r.moment
    WHERE r.person NOT IN ({_ON_HOLD})
    GROUP BY r.person HAVING bool_and(r.consents)"""
_PSEUDONYM = customer_pseudonym("person")
_CONSENTING_PSEUDONYMS = f"SELECT {_PSEUDONYM} FROM ({_CONSENTING}) AS consenting"
# Both readings were received, the device's while it was the person's.
_EXPLAINED_PAIRS = f"""
    SELECT m.* FROM machine_learning_curated AS m
    JOIN (
        SELECT *, {customer_pseudonym("person")} AS customer_pseudonym,
            {device_pseudonym("serialNumber")} AS device_pseudonym
        FROM device_owner WHERE person IS NOT NULL
    ) AS o ON o.customer_pseudonym = m.customer_pseudonym AND o.device_pseudonym = m.device_pseudonym
        AND m.sensorReadingTime >= coalesce(o.from_ms, m.sensorReadingTime)
        AND m.sensorReadingTime < coalesce(o.to_ms, m.sensorReadingTime + 1)
    JOIN step_trainer_landing AS s ON s.device = o.serialNumber AND s.sensorReadingTime = m.sensorReadingTime
        AND s.distanceFromObject = m.distanceFromObject
    JOIN accelerometer_landing AS a ON a.person = o.person AND a.timeStamp = m.timeStamp
        AND a.x = m.x AND a.y = m.y AND a.z = m.z"""


def _without_consent(table: Table) -> str:
    """SQL for the rows of a table whose person does not consent, or is not known."""
    consenting = _CONSENTING_PSEUDONYMS if table.person_is_pseudonym else _CONSENTING
    return f"SELECT 1 FROM {quoted(table.name)} WHERE {table.person} IS NULL OR {table.person} NOT IN ({consenting})"


# Each names a table and gives SQL for the rows that break a promise.
_INVARIANTS = (
    *(
        (table.name, "rows of people who do not consent", _without_consent(table))
        for table in REFRESHED
        if table.requires_consent
    ),
    (
        "consent_hold",
        "people whom a record names that can't be used, and who are not listed",
        f"SELECT person FROM ({_ON_HOLD}) AS held EXCEPT SELECT person FROM consent_hold",
    ),
    (
        "machine_learning_curated",
        "pairs that are not two readings of one person",
        f"SELECT * FROM machine_learning_curated EXCEPT SELECT * FROM ({_EXPLAINED_PAIRS}) AS explained",
    ),
)


def verify(settings: Settings, *, progress: Progress = lambda _: None) -> list[Finding]:
    """Compare every table with a full rebuild, every file with its rows, and ask for broken promises.

    Raises:
        WarehouseError: there is no warehouse, no run has finished in it, or one did not finish.
        WarehouseBusyError: a run is at work.
        LandingError: the landing files can't be listed.
    """
    warehouse = open_warehouse(settings.warehouse, settings.database)
    with (
        Catalog(warehouse) as catalog,
        warehouse.read_lock(),
        translate_storage_errors(f"warehouse {warehouse} can't be verified"),
        warehouse.reader_scratch() as folder,
        start_embedded(settings, warehouse, folder) as engine,
    ):
        run = latest_run(catalog.warehouse)
        if run is None:
            raise WarehouseError(f"no run has finished in {settings.warehouse}; start one with `stedi run`")
        for table in REFRESHED:
            snapshot = catalog.snapshot(table.name)
            if snapshot is not None and snapshot.is_ours and snapshot.id != run.snapshots.get(table.name):
                raise WarehouseError(f"a run began and did not finish ({table.name} is ahead); run again, then verify")
        parameters = query_parameters(run.settings, pseudonym_key(settings, may_make=False))
        engine.set_parameters(parameters)
        findings: list[Finding] = []
        for feed in FEEDS:
            progress(f"reading the files of {feed.name} again")
            findings += _files(catalog, engine, feed, list_files(settings.landing, feed))
        draft = Draft(catalog, folder, rebuild=[t.name for t in REFRESHED if t.name not in _LANDING_TABLES])
        # A table that some run left and that is gone is compared all the same.
        compared = []
        for table in kept(catalog):
            if table.name in run.snapshots or catalog.snapshot(table.name):
                compared.append(table)
            else:
                findings.append(Finding(table.name, "not made: no run was asked for it yet", 0, 0))
        for table in compared:
            progress(f"rebuilding {table.name}")
            if table.name not in _LANDING_TABLES:
                refresh(table, draft, lambda: engine, "verify", parameters, cached_deltas={})
            engine.register_files(table, draft.files(table.name))
        for table in (t for t in compared if t.name not in _LANDING_TABLES):
            progress(f"comparing {table.name}")
            actual = engine.register_files(table, catalog.files(table.name), view=f"actual_{table.name}")
            question = "rows that a full rebuild does not have, or has besides"
            findings.append(Finding(table.name, question, engine.rows(actual), engine.unequal(table, actual, table.name)))
        for table in compared:
            engine.register_files(table, catalog.files(table.name))
        names = {table.name for table in compared}
        for name, question, broken in (asked for asked in _INVARIANTS if asked[0] in names):
            progress(f"{name}: {question}")
            [counted] = engine.select(f"SELECT count(*) AS n FROM ({broken}) AS broken")
            findings.append(Finding(name, question, engine.rows(name), counted["n"]))
        return findings


def _files(catalog: Catalog, engine: Engine, feed: Feed, listed: Sequence[LandingFile]) -> Iterator[Finding]:
    """What every file taken is said to hold, and what every file still there does hold, against the rows."""
    table, entries = feed.table, ledger_of(catalog, feed.table)
    engine.register_files(table, catalog.files(table.name))
    engine.register_files(quarantine.TABLE, catalog.files(quarantine.TABLE.name))
    engine.hold(
        "taken",
        [
            ("source_file", "string", list(entries)),
            ("landed", "long", [entry.landed for entry in entries.values()]),
            ("quarantined", "long", [entry.quarantined for entry in entries.values()]),
        ],
    )
    wrong = engine.select(
        f"""
        SELECT count(*) AS n FROM taken AS t
        FULL JOIN (SELECT source_file, count(*) AS n FROM {table.name} GROUP BY source_file) AS l USING (source_file)
        FULL JOIN (
            SELECT source_file, count(*) AS n FROM quarantine WHERE feed = {literal(feed.name)} GROUP BY source_file
        ) AS q USING (source_file)
        WHERE t.landed IS DISTINCT FROM coalesce(l.n, 0) OR t.quarantined IS DISTINCT FROM coalesce(q.n, 0)"""
    )[0]["n"]
    yield Finding(table.name, "files whose landed and quarantined rows are not those recorded", len(entries), wrong)
    there = [file for file in listed if file.name in entries and entries[file.name].version == file.version]
    again = engine.ingest(feed, there)
    steady = list(again.counts)
    try:
        engine.hold("steady", [("source_file", "string", steady)])
        rows = wrong = 0
        held = (
            (table, f"SELECT * FROM {table.name}"),
            (
                quarantine.TABLE,
                f"SELECT * FROM quarantine WHERE feed = {literal(feed.name)}",
            ),
        )
        for (kind, stands), found in zip(held, (again.landed, again.quarantined), strict=True):
            only_steady = "SEMI JOIN steady USING (source_file)"
            with (
                engine.view("stands", f"SELECT * FROM ({stands}) AS r {only_steady}"),
                engine.view("found", f"SELECT * FROM {found} {only_steady}"),
            ):
                rows += engine.rows("found")
                wrong += engine.unequal(kind, "stands", "found")
    finally:
        engine.release(feed)
    question = (
        f"records of the {len(steady):,} files still there that are neither landed nor quarantined, or not as they are"
    )
    yield Finding(table.name, question, rows, wrong)
