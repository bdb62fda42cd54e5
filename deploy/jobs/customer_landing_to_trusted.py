"""Glue job: customers whose research consent is in force, and how it came and went."""

from stedi.aws.job import main

main("consent_hold", "consent_history", "customer_trusted")
