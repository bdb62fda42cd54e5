"""Trusted zone: consented, typed, without duplicates, checked."""

from stedi.trusted import accelerometer, consent_history, consent_hold, customer, device_evidence, device_owner, step_trainer

TABLES = (
    consent_hold.TABLE,
    customer.TABLE,
    consent_history.TABLE,
    accelerometer.TABLE,
    device_evidence.TABLE,
    device_owner.TABLE,
    step_trainer.TABLE,
)
