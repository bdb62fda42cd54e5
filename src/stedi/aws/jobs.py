"""The Glue jobs in run order, and the tables that each one refreshes.

`make docs` writes each job's script to `deploy/jobs/`. A job that is started on its own also refreshes the inputs of its
tables.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from stedi.model.feed import Feed
from stedi.model.table import Table, with_ancestors
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.registry import ALL, BY_NAME, REFRESHED


@dataclass(frozen=True)
class Job:
    """One Glue job and the tables that it refreshes. A job without tables refreshes all of them and publishes the run."""

    name: str
    meaning: str
    tables: tuple[str, ...] = ()

    @property
    def publishes(self) -> bool:
        """Whether the job publishes the run."""
        return not self.tables

    @property
    def accessible_tables(self) -> tuple[Table, ...]:
        """The tables that the job may read or write: its own and all their inputs."""
        if self.publishes:
            return ALL
        names = with_ancestors(self.tables, BY_NAME)
        return tuple(table for table in REFRESHED if table.name in names)

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """The feeds whose landing files the job may read."""
        names = {table.name for table in self.accessible_tables}
        return tuple(feed for feed in FEEDS if feed.table.name in names)


# (name, meaning, last table). Users know the names, so they must not change.
_JOBS = (
    ("ingest_landing", "ingest new and changed landing files", "quarantine"),
    (
        "customer_landing_to_trusted",
        "customers whose research consent is in force, and the history of consent",
        "customer_trusted",
    ),
    (
        "accelerometer_landing_to_trusted",
        "accelerometer readings of customers who consent",
        "accelerometer_trusted",
    ),
    (
        "customer_trusted_to_curated",
        "owners of devices, and customers with readings",
        "customers_curated",
    ),
    ("step_trainer_trusted", "step-trainer readings of curated customers' devices", "step_trainer_trusted"),
    (
        "machine_learning_curated",
        "pairs of simultaneous readings of one person, under pseudonyms",
        "machine_learning_curated",
    ),
)


def _plan_jobs() -> Iterator[Job]:
    """Assign tables to jobs.

    A job refreshes its last table, the inputs of that table that no earlier job refreshes, and the other tables of
    the same zone that need no further input. A job with a trusted table also refreshes such tables of the reference
    zone. The publishing job refreshes the rest.
    """
    assigned: set[str] = set()
    for name, meaning, last in _JOBS:
        ancestors = with_ancestors([last], BY_NAME)
        zone = BY_NAME[last].zone
        zones = {zone, "reference"} if zone == "trusted" else {zone}
        without_further_input = {
            t.name
            for t in REFRESHED
            if t.zone in zones and t.built_from and set(t.built_from) <= ancestors and not t.on_demand
        }
        tables = tuple(t.name for t in REFRESHED if t.name in (ancestors | without_further_input) - assigned)
        assigned.update(tables)
        yield Job(name, meaning, tables)
    yield Job("publish_run", "refresh all tables, publish the run, and do the maintenance that is due")


JOBS: tuple[Job, ...] = tuple(_plan_jobs())


def script(job: Job) -> str:
    """Return the Python source of a job's script."""
    arguments = "publish=True" if job.publishes else ", ".join(f'"{table}"' for table in job.tables)
    return f'"""Glue job: {job.meaning}."""\n\nfrom stedi.cli.glue_job import main\n\nmain({arguments})\n'
