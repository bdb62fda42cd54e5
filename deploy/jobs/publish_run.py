"""Glue job: bring everything up to date, publish the run, and do the upkeep that is due."""

from stedi.cli.glue_job import main

main(publish=True)
