"""The feeds. Landing tables, quarantine, jobs, DDL, help texts and verify are derived from this list."""

from stedi.model.feed import Feed
from stedi.tables.landing import accelerometer, customer, step_trainer

FEEDS: tuple[Feed, ...] = (customer.FEED, accelerometer.FEED, step_trainer.FEED)
