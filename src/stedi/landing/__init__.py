"""Landing zone: every readable record as received, and what could not be read."""

from stedi.landing import accelerometer, customer, quarantine, step_trainer

FEEDS = (customer.FEED, accelerometer.FEED, step_trainer.FEED)
TABLES = (customer.FEED.table, accelerometer.FEED.table, step_trainer.FEED.table, quarantine.TABLE)
