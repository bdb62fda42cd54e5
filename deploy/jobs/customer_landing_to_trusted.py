"""Glue job: customers whose research consent is in force, and the history of consent."""

from stedi.cli.glue_job import main

main("consent_history", "consent_hold", "customer_trusted")
