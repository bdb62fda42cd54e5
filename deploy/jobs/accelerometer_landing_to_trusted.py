"""Glue job: accelerometer readings of customers who consent."""

from stedi.aws.job import main

main("accelerometer_trusted")
