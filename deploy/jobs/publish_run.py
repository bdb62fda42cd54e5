"""Glue job: refresh all tables, publish the run, and do the maintenance that is due."""

from stedi.cli.glue_job import main

main(publish=True)
