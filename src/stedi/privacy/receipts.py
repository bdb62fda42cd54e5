"""Consent receipts after ISO/IEC TS 27560:2023, as JSON-LD with terms of the Data Privacy Vocabulary (DPV 2).

The mapping of the standard's fields to DPV is that of the guide https://w3id.org/dpv/guides/consent-27560. The context is
part of the document, so that reading it needs no network.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stedi.config import Privacy
from stedi.privacy.report import Hold
from stedi.privacy.timeline import Consent, Interval

Node = dict[str, Any]

RECEIPT_SCHEMA, RECORD_SCHEMA = (
    "https://w3id.org/dpv/schema/dpv-27560#receipt",
    "https://w3id.org/dpv/schema/dpv-27560#record",
)

CONTEXT: Node = {
    "dpv": "https://w3id.org/dpv#",
    "pd": "https://w3id.org/dpv/pd#",
    "dct": "http://purl.org/dc/terms/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "dct:conformsTo": {"@type": "@id"},
    "dct:created": {"@type": "xsd:dateTime"},
    "dpv:hasLegalBasis": {"@type": "@id"},
    "dpv:hasPersonalData": {"@type": "@id"},
    "dpv:hasProcessing": {"@type": "@id"},
    "dpv:isIndicatedAtTime": {"@type": "xsd:dateTime"},
    "dpv:isIndicatedBy": {"@type": "@id"},
    "skos:broader": {"@type": "@id"},
}
# The customer records' fields and the readings of both sensors.
_PERSONAL_DATA = (
    *("pd:Name", "pd:EmailAddress", "pd:TelephoneNumber", "pd:BirthDate"),
    # The serial number of the step trainer, and motion.
    *("pd:DeviceBased", "pd:Behavioral"),
)


@dataclass(frozen=True)
class _Purpose:
    """A purpose: its title, the DPV term above it, and what is done with the data."""

    title: str
    broader: str
    processing: tuple[str, ...]


_PURPOSES = {
    "research": _Purpose(
        "share with research",
        "dpv:ResearchAndDevelopment",
        ("dpv:Collect", "dpv:Store", "dpv:Combine", "dpv:Pseudonymise", "dpv:Analyse"),
    ),
    "public": _Purpose("share with the public", "dpv:Purpose", ("dpv:Store", "dpv:Disclose")),
    "friends": _Purpose("share with friends", "dpv:Purpose", ("dpv:Store", "dpv:Share")),
}
# Fields that the standard requires of a consent record, and that the lakehouse can't know.
_UNKNOWN = (
    "jurisdiction",
    "storage locations",
    "recipients and third parties",
    "withdrawal method",
    "language of the notice",
)


def unknown_fields(privacy: Privacy) -> tuple[str, ...]:
    """Return the required fields that receipts lack, which the controller has to add."""
    settings = {
        "name of the controller": privacy.controller,
        "contact of the controller": privacy.contact,
        "privacy notice": privacy.notice,
    }
    return (*(name for name, value in settings.items() if value is None), *_UNKNOWN)


def consent_receipts(consent: Consent, holds: Sequence[Hold], privacy: Privacy, created_at: datetime) -> Node:
    """Make one receipt for each purpose and interval of consent.

    Args:
        consent: the person's consent over time.
        holds: the hold on the consent, if there is one.
        privacy: name and contact of the controller, the notice, and the retention.
        created_at: time of the receipts.

    Returns:
        A JSON-LD document. The person's identifier is random and occurs in this document only.
    """
    principal, controller = _new_id(), _new_id()
    receipts = [
        _receipt(_record(purpose.purpose, interval, holds, privacy, principal, controller), controller, privacy, created_at)
        for purpose in consent.purposes
        for interval in purpose.intervals
    ]
    return {"@context": CONTEXT, "@graph": [_controller(controller, privacy), *receipts]}


def _receipt(record: Node, controller: str, privacy: Privacy, created_at: datetime) -> Node:
    receipt_id = _new_id()
    return {
        "@id": receipt_id,
        "@type": "dpv:ConsentReceipt",
        "dct:identifier": receipt_id,
        "dct:conformsTo": RECEIPT_SCHEMA,
        "dct:created": created_at.isoformat(timespec="seconds"),
        "dct:publisher": {"@id": controller},
        "dct:description": f"The controller has to add: {', '.join(unknown_fields(privacy))}.",
        "dpv:hasRecordOfActivity": record,
    }


def _record(
    purpose: str, interval: Interval, holds: Sequence[Hold], privacy: Privacy, principal: str, controller: str
) -> Node:
    record_id = _new_id()
    notice = {"dpv:hasNotice": {"@id": privacy.notice, "@type": "dpv:ConsentNotice"}} if privacy.notice else {}
    return {
        "@id": record_id,
        "@type": "dpv:ConsentRecord",
        "dct:identifier": record_id,
        "dct:conformsTo": RECORD_SCHEMA,
        "dpv:hasDataSubject": {"@id": principal, "@type": "dpv:DataSubject", "dct:identifier": principal},
        "dpv:hasDataController": {"@id": controller},
        "dpv:hasLegalBasis": "dpv:Consent",
        "dpv:hasProcess": {
            "@type": "dpv:Process",
            "dpv:hasPurpose": {
                "@type": "dpv:Purpose",
                "dct:identifier": purpose,
                "dct:title": _PURPOSES[purpose].title,
                "skos:broader": _PURPOSES[purpose].broader,
            },
            "dpv:hasPersonalData": list(_PERSONAL_DATA),
            "dpv:hasProcessing": list(_PURPOSES[purpose].processing),
            "dpv:hasStorageCondition": {"@type": "dpv:StorageDuration", "dpv:hasDuration": _retention(privacy)},
        },
        **notice,
        "dpv:hasConsentStatus": list(_events(interval, holds, principal, controller)),
    }


def _controller(controller: str, privacy: Privacy) -> Node:
    known = {"dpv:hasName": privacy.controller, "dpv:hasContact": privacy.contact}
    return {"@id": controller, "@type": "dpv:DataController", "dct:identifier": controller} | {
        key: value for key, value in known.items() if value is not None
    }


def _retention(privacy: Privacy) -> Node:
    if privacy.retention_days is None:
        return {"@type": "dpv:IndeterminateDuration"}
    return {"@type": "dpv:UntilEventDuration", "rdf:value": f"P{privacy.retention_days}D after the consent is withdrawn"}


def _events(interval: Interval, holds: Sequence[Hold], principal: str, controller: str) -> list[Node]:
    """The events of an interval of consent, in order of time."""
    end = "" if interval.to_ms is None else iso_time(interval.to_ms)
    events = [_event("dpv:ConsentGiven", interval.from_ms, principal) | {"dct:valid": f"{iso_time(interval.from_ms)}/{end}"}]
    if interval.to_ms is not None:
        events.append(_event("dpv:ConsentWithdrawn", interval.to_ms, principal))
    else:
        # A newer record of the person can't be read, so nobody knows what it says about consent.
        events += [_event("dpv:ConsentUnknown", hold.held_since_ms, controller) for hold in holds]
    return events


def _event(state: str, at_ms: int, by: str) -> Node:
    return {"@type": state, "dpv:isIndicatedAtTime": iso_time(at_ms), "dpv:isIndicatedBy": by}


def iso_time(at_ms: int) -> str:
    """Return a time in ISO 8601, UTC, with milliseconds.

    Args:
        at_ms: ms since the epoch, UTC.
    """
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _new_id() -> str:
    return f"urn:uuid:{uuid.uuid4()}"
