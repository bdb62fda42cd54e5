"""Glue job: bring everything up to date, publish the run, and do the upkeep that is due."""

from stedi.aws.job import main

main(publish=True)
