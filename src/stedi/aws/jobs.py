"""The Glue jobs: which tables each brings up to date, in the order in which the state machine runs them.

`deploy/jobs/` holds a script each. A job that runs by itself also brings up to date what its tables are built from.
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
    Job("ingest_landing", (*(feed.table.name for feed in FEEDS), "quarantine")),
    Job("customer_landing_to_trusted", ("customer_trusted", "consent_history")),
    Job("accelerometer_landing_to_trusted", ("accelerometer_trusted",)),
    Job("customer_trusted_to_curated", ("device_owner", "customers_curated")),
    Job("step_trainer_trusted", ("step_trainer_trusted",)),
    Job("machine_learning_curated", ("machine_learning_curated",)),
    Job("publish_run"),
)
