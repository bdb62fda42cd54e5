"""Glue job: accelerometer readings of customers who consent."""

from stedi.cli.glue_job import main

main("accelerometer_trusted")
