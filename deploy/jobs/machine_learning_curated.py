"""Glue job: pairs of simultaneous readings of one person, under pseudonyms."""

from stedi.cli.glue_job import main

main("machine_learning_curated")
