"""Glue job: whose each device is, and the customers who have readings."""

from stedi.cli.glue_job import main

main("device_evidence", "device_owner", "customers_curated")
