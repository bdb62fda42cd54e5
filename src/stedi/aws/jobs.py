"""The Glue jobs: which tables each brings up to date, in the order in which the state machine runs them.

`make docs` writes each job's script to `deploy/jobs/`.
A job that runs by itself also brings up to date what its tables are built from.
"""

from dataclasses import dataclass

from stedi.landing import FEEDS
from stedi.landing.feed import Feed
from stedi.table import Table, with_ancestors
from stedi.tables import ALL, BY_NAME, REFRESHED


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


JOBS: tuple[Job, ...] = (
    Job(
        "ingest_landing",
        "take new and changed landing files into the landing tables",
        (*(feed.table.name for feed in FEEDS), "quarantine"),
    ),
    Job(
        "customer_landing_to_trusted",
        "customers whose research consent is in force, and how it came and went",
        ("customer_trusted", "consent_history"),
    ),
    Job(
        "accelerometer_landing_to_trusted",
        "accelerometer readings of customers who consent",
        ("accelerometer_trusted",),
    ),
    Job(
        "customer_trusted_to_curated",
        "whose each device is, and the customers who have readings",
        ("device_owner", "customers_curated"),
    ),
    Job("step_trainer_trusted", "step-trainer readings of curated customers' devices", ("step_trainer_trusted",)),
    Job(
        "machine_learning_curated",
        "the two readings of the same person and moment, under pseudonyms",
        ("machine_learning_curated",),
    ),
    Job("publish_run", "bring everything up to date, publish the run, and do the upkeep that is due"),
)


def script(job: Job) -> str:
    """Return the Python source of a job's script."""
    arguments = "publish=True" if job.publishes else ", ".join(f'"{table}"' for table in job.tables)
    return f'"""Glue job: {job.meaning}."""\n\nfrom stedi.aws.job import main\n\nmain({arguments})\n'
