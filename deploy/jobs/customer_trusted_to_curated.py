"""Glue job: owners of devices, and customers with readings."""

from stedi.cli.glue_job import main

main("device_evidence", "device_owner", "customers_curated")
