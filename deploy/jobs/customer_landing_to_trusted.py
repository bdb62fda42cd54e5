"""Glue job: customers whose research consent is in force, and how it came and went."""

from stedi.aws.job import main

main("consent_history", "device_owner", "consent_hold", "customer_trusted")
