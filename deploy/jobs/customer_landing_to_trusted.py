"""Glue job: customers whose research consent is in force, and how it came and went."""

from stedi.aws.job import main

main("customer_trusted", "consent_history")
