"""The Glue jobs: which tables each brings up to date, in the order in which the state machine runs them.

`make docs` writes each job's script to `deploy/jobs/`.
A job that runs by itself also brings up to date what its tables are built from.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from stedi.model.feed import Feed
from stedi.model.table import Table, with_ancestors
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.registry import ALL, BY_NAME, REFRESHED


@dataclass(frozen=True)
class Job:
    """One Glue job. `tables` are those that it is for, all of them where it names none; it then publishes the run."""

    name: str
    meaning: str
    tables: tuple[str, ...] = ()

    @property
    def publishes(self) -> bool:
        return not self.tables

    @property
    def reach(self) -> tuple[Table, ...]:
        """Every table that the job may read or write: its own, and all that they are built from."""
        if self.publishes:
            return ALL
        wanted = with_ancestors(self.tables, BY_NAME)
        return tuple(table for table in REFRESHED if table.name in wanted)

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """The feeds whose landing files the job may read."""
        names = {table.name for table in self.reach}
        return tuple(feed for feed in FEEDS if feed.table.name in names)


# The names are fixed: users know them. Each job but the last is named with the table that it ends with.
_JOBS = (
    ("ingest_landing", "take new and changed landing files into the landing tables", "quarantine"),
    (
        "customer_landing_to_trusted",
        "customers whose research consent is in force, and how it came and went",
        "customer_trusted",
    ),
    (
        "accelerometer_landing_to_trusted",
        "accelerometer readings of customers who consent",
        "accelerometer_trusted",
    ),
    (
        "customer_trusted_to_curated",
        "whose each device is, and the customers who have readings",
        "customers_curated",
    ),
    ("step_trainer_trusted", "step-trainer readings of curated customers' devices", "step_trainer_trusted"),
    (
        "machine_learning_curated",
        "the two readings of the same person and moment, under pseudonyms",
        "machine_learning_curated",
    ),
)


def _planned() -> Iterator[Job]:
    """Assign tables to jobs.

    A job refreshes its last table, the inputs of that table that no earlier job refreshes, and the
    other tables of the same zone that need no further input; one that ends with a trusted table also those of the
    reference zone. The publishing job refreshes the rest.
    """
    assigned: set[str] = set()
    for name, meaning, last in _JOBS:
        reach = with_ancestors([last], BY_NAME)
        zone = BY_NAME[last].zone
        zones = {zone, "reference"} if zone == "trusted" else {zone}
        needing_no_more = {
            t.name for t in REFRESHED if t.zone in zones and t.built_from and set(t.built_from) <= reach and not t.on_demand
        }
        tables = tuple(t.name for t in REFRESHED if t.name in (reach | needing_no_more) - assigned)
        assigned.update(tables)
        yield Job(name, meaning, tables)
    yield Job("publish_run", "bring everything up to date, publish the run, and do the upkeep that is due")


JOBS: tuple[Job, ...] = tuple(_planned())


def script(job: Job) -> str:
    """Return the Python source of a job's script."""
    arguments = "publish=True" if job.publishes else ", ".join(f'"{table}"' for table in job.tables)
    return f'"""Glue job: {job.meaning}."""\n\nfrom stedi.cli.glue_job import main\n\nmain({arguments})\n'
