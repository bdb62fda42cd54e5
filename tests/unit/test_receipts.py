"""Consent receipts: the fields that ISO/IEC TS 27560 requires, terms of DPV, and a context that needs no network."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from stedi.config import Privacy
from stedi.privacy.receipts import consent_receipts, unknown_fields
from stedi.privacy.report import Hold
from stedi.privacy.timeline import Consent, Interval, PurposeConsent

T0 = 1_640_995_200_000
DAY = 86_400_000
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CONSENT = Consent(
    4,
    T0,
    T0 + 9 * DAY,
    (
        PurposeConsent("research", True, 0, (Interval(T0, T0 + DAY), Interval(T0 + 2 * DAY, None))),
        PurposeConsent("public", False, 1, (Interval(T0, T0 + 1),)),
        PurposeConsent("friends", False, 0, ()),
    ),
)
HOLD = Hold(T0 + 10 * DAY, 1, "customer/3.json", 1, "not_json", "it is not JSON")
# Terms of DPV 2.1 and its extension PD (https://w3id.org/dpv, https://w3id.org/dpv/pd).
DPV = {
    *("ConsentReceipt", "ConsentRecord", "DataSubject", "DataController", "Consent", "Process", "Purpose", "ConsentNotice"),
    *("ConsentGiven", "ConsentWithdrawn", "ConsentUnknown", "ResearchAndDevelopment", "StorageDuration"),
    *("IndeterminateDuration", "UntilEventDuration"),
    *("Collect", "Store", "Combine", "Pseudonymise", "Analyse", "Disclose", "Share"),
    *(
        "hasDataSubject",
        "hasDataController",
        "hasLegalBasis",
        "hasProcess",
        "hasPurpose",
        "hasPersonalData",
        "hasProcessing",
    ),
    *("hasStorageCondition", "hasDuration", "hasNotice", "hasConsentStatus", "hasRecordOfActivity", "hasName", "hasContact"),
    *("isIndicatedAtTime", "isIndicatedBy"),
}
PD = {"Name", "EmailAddress", "TelephoneNumber", "BirthDate", "DeviceBased", "Behavioral"}


def receipts_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in document["@graph"] if node["@type"] == "dpv:ConsentReceipt"]


def texts_in(value: Any) -> Iterator[str]:
    """All keys and texts of a document, without the context."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)
    elif isinstance(value, str):
        yield value


def check_record(record: dict[str, Any]) -> None:
    """Require the fields that the standard requires and the lakehouse knows: header, processing, parties, events."""
    assert record["@type"] == "dpv:ConsentRecord"
    assert record["dct:conformsTo"] == "https://w3id.org/dpv/schema/dpv-27560#record"
    assert uuid.UUID(record["dct:identifier"])
    assert uuid.UUID(record["dpv:hasDataSubject"]["dct:identifier"])
    process = record["dpv:hasProcess"]
    assert process["dpv:hasPurpose"]["dct:identifier"] in ("research", "public", "friends")
    assert process["dpv:hasPersonalData"]
    assert process["dpv:hasStorageCondition"]["dpv:hasDuration"]["@type"]
    assert record["dpv:hasDataController"]["@id"]
    assert record["dpv:hasLegalBasis"] == "dpv:Consent"
    first, *later = record["dpv:hasConsentStatus"]
    assert first["@type"] == "dpv:ConsentGiven"
    assert first["dct:valid"].startswith(first["dpv:isIndicatedAtTime"])
    times = [datetime.fromisoformat(event["dpv:isIndicatedAtTime"]) for event in (first, *later)]
    assert times == sorted(times)
    principal, controller = record["dpv:hasDataSubject"]["@id"], record["dpv:hasDataController"]["@id"]
    assert {event["dpv:isIndicatedBy"] for event in (first, *later)} <= {principal, controller}


def test_one_receipt_for_each_purpose_and_interval_with_its_events() -> None:
    document = consent_receipts(CONSENT, [HOLD], Privacy(), NOW)
    receipts = receipts_of(document)
    events = []
    for receipt in receipts:
        assert receipt["dct:conformsTo"] == "https://w3id.org/dpv/schema/dpv-27560#receipt"
        assert receipt["dct:created"] == "2026-01-02T03:04:05+00:00"
        record = receipt["dpv:hasRecordOfActivity"]
        check_record(record)
        purpose = record["dpv:hasProcess"]["dpv:hasPurpose"]["dct:identifier"]
        states = [
            (e["@type"].removeprefix("dpv:Consent"), e["dpv:isIndicatedAtTime"]) for e in record["dpv:hasConsentStatus"]
        ]
        events.append((purpose, states))
    start = "2022-01-01T00:00:00.000Z"
    assert events == [
        ("research", [("Given", start), ("Withdrawn", "2022-01-02T00:00:00.000Z")]),
        # The hold is about the consent that is still given.
        ("research", [("Given", "2022-01-03T00:00:00.000Z"), ("Unknown", "2022-01-11T00:00:00.000Z")]),
        ("public", [("Given", start), ("Withdrawn", "2022-01-01T00:00:00.001Z")]),
    ]
    assert len({receipt["dct:identifier"] for receipt in receipts}) == 3
    assert len({receipt["dpv:hasRecordOfActivity"]["dpv:hasDataSubject"]["@id"] for receipt in receipts}) == 1


def test_the_person_has_another_identifier_in_each_document() -> None:
    subjects = {
        receipts_of(consent_receipts(CONSENT, [], Privacy(), NOW))[0]["dpv:hasRecordOfActivity"]["dpv:hasDataSubject"]["@id"]
        for _ in range(2)
    }
    assert len(subjects) == 2


def test_every_prefix_is_in_the_context_and_every_term_in_the_vocabulary() -> None:
    privacy = Privacy(
        controller="STEDI", contact="https://stedi.example", notice="https://stedi.example/n", retention_days=9
    )
    for settings in (privacy, Privacy()):
        document = consent_receipts(CONSENT, [HOLD], settings, NOW)
        context = document["@context"]
        assert all(isinstance(value, dict) or value.startswith("http") for value in context.values())
        for node in document["@graph"]:
            for text in texts_in(node):
                prefix, colon, term = text.partition(":")
                if not colon or " " in text or prefix in ("urn", "https") or prefix[0].isdigit():
                    continue
                assert prefix in context, text
                assert term in {"dpv": DPV, "pd": PD}.get(prefix, {term}), text
        assert json.loads(json.dumps(document)) == document


def test_what_the_settings_say_is_in_the_receipts_and_the_rest_is_named_as_missing() -> None:
    privacy = Privacy(
        controller="STEDI", contact="https://stedi.example", notice="https://stedi.example/n", retention_days=9
    )
    document = consent_receipts(CONSENT, [], privacy, NOW)
    controller = document["@graph"][0]
    assert (controller["dpv:hasName"], controller["dpv:hasContact"]) == ("STEDI", "https://stedi.example")
    record = receipts_of(document)[0]["dpv:hasRecordOfActivity"]
    assert record["dpv:hasNotice"]["@id"] == "https://stedi.example/n"
    duration = record["dpv:hasProcess"]["dpv:hasStorageCondition"]["dpv:hasDuration"]
    assert duration["rdf:value"] == "P9D after the consent is withdrawn"
    known = {"name of the controller", "contact of the controller", "privacy notice"}
    assert known <= set(unknown_fields(Privacy()))
    assert not known & set(unknown_fields(privacy))
    bare = consent_receipts(CONSENT, [], Privacy(), NOW)
    assert all("privacy notice" in receipt["dct:description"] for receipt in receipts_of(bare))
    assert "dpv:hasNotice" not in receipts_of(bare)[0]["dpv:hasRecordOfActivity"]


@pytest.mark.parametrize("consent", [Consent(0, None, None, ()), CONSENT])
def test_without_consent_there_is_no_receipt(consent: Consent) -> None:
    intervals = sum(len(purpose.intervals) for purpose in consent.purposes)
    assert len(receipts_of(consent_receipts(consent, [], Privacy(), NOW))) == intervals
