"""Reference zone: what must know everybody, consenting or not. It is closed to data scientists."""

from stedi.reference import consent_history, consent_hold, device_evidence, device_owner

TABLES = (consent_hold.TABLE, consent_history.TABLE, device_evidence.TABLE, device_owner.TABLE)
