"""Trusted zone: consented, typed, without duplicates, checked."""

from stedi.trusted import accelerometer, consent_history, customer, device_owner, step_trainer

TABLES = (
    consent_history.TABLE,
    customer.TABLE,
    accelerometer.TABLE,
    device_owner.TABLE,
    step_trainer.TABLE,
)
