"""Glue job: whose each device is, and the customers who have readings."""

from stedi.aws.job import main

main("device_evidence", "device_owner", "customers_curated")
