"""The feeds. Landing tables, quarantine, jobs, DDL, help texts and `verify` all derive from this list."""

from stedi.landing import accelerometer, customer, step_trainer
from stedi.landing.feed import Feed

FEEDS: tuple[Feed, ...] = (customer.FEED, accelerometer.FEED, step_trainer.FEED)
