"""People are erased from a lakehouse with history. Nobody else loses anything."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from stedi.catalog.run_log import read_runs
from stedi.pipeline.report import Status
from stedi.privacy.erasure.erase import erase, plan
from tests.support.byte_search import files_containing
from tests.support.compare import contents, found_wrong
from tests.support.erasures import (
    ADDRESSES,
    ANNIKA,
    CARL,
    DORA,
    ERASED,
    IDENTIFIERS,
    World,
    is_of_beatrix,
    landing_bytes,
    lines,
    tread,
    walk,
)
from tests.support.lake import Lake, customer, distance

Rows = dict[str, list[str]]
# The names of two files contain addresses. In the twin one of them has its name, too.
_RENAMED = re.compile("accelerometer/(?:gone-|annika|erased-)[^,']*")


def folders(lake: Lake) -> tuple[Path, ...]:
    """Everything that a lakehouse has."""
    return lake.landing, lake.warehouse, Path(lake.settings.privacy_folder)


def rows_by_run(lake: Lake) -> dict[str, Rows]:
    """All rows of all runs that can be read, with the same names for renamed files."""
    return {run.run_id: renamed(contents(lake, as_of=run.run_id)) for run in read_runs(lake.open_warehouse())}


def renamed(tables: Rows) -> Rows:
    """Rows with the same name for all files that the erasure renames."""
    return {name: sorted(_RENAMED.sub("renamed", row) for row in rows) for name, rows in tables.items()}


def pseudonyms(tables: Rows) -> set[str]:
    """All pseudonyms in rows, shortened as reports show them."""
    return {digest[:12] for rows in tables.values() for row in rows for digest in re.findall("[0-9a-f]{64}", row)}


def without(tables: Rows, identifiers: set[str]) -> Rows:
    """The rows of others."""
    return {
        name: [row for row in rows if not is_of_beatrix(row) and not any(text in row.lower() for text in identifiers)]
        for name, rows in tables.items()
    }


def test_people_are_erased_from_all_of_a_lakehouse_and_nobody_else_loses_a_byte(
    lake: Lake, twin: Lake, is_deep: bool
) -> None:
    number_of_runs = 50 if is_deep else 0
    World(lake, ADDRESSES).make_history(number_of_runs)
    World(twin, (CARL, DORA)).make_history(number_of_runs)
    before, of_others = rows_by_run(lake), rows_by_run(twin)
    assert len(before) == 4
    digests = [set[str]().union(*map(pseudonyms, runs.values())) for runs in (before, of_others)]
    identifiers = {*IDENTIFIERS, *(digests[0] - digests[1])}
    # Two people and a device. The other device has another owner now.
    assert len(identifiers) == len(IDENTIFIERS) + 3
    addresses = [ADDRESSES[who] for who in ERASED]
    planned = plan(lake.settings, addresses)
    done = erase(lake.settings, addresses)
    assert files_containing(identifiers, *folders(lake)) == []
    assert (done.files, done.tables, done.found) == (planned.files, planned.tables, ())
    found = {hashlib.sha256(path.read_bytes()).hexdigest() for path in lake.landing.rglob("*.*") if path.is_file()}
    assert {file.sha256_after for file in planned.files if not file.is_deleted} <= found
    assert found.isdisjoint({file.sha256_before for file in planned.files})
    after = rows_by_run(lake)
    assert {run_id: after[run_id] for run_id in before} == {run: without(rows, identifiers) for run, rows in before.items()}
    report = lake.run()
    assert report.files == {feed: {"new": int(feed == "customer"), "changed": 0} for feed in report.files}
    twin.run()
    assert renamed(contents(lake)) == renamed(contents(twin))
    assert landing_bytes(lake.landing) == landing_bytes(twin.landing)
    assert found_wrong(lake) == []
    assert {table.status for table in lake.run().tables.values()} == {Status.UP_TO_DATE}


def test_a_hold_of_somebody_else_stays_without_the_text(lake: Lake) -> None:
    both = '{"email": ["annika@qvistberg.example", "carl@x.example"], "phone": "555-0111"}'
    lake.land("customer/1.json", [customer(who, 10, shares=5) for who in ("annika@qvistberg.example", "carl@x.example")])
    lake.land("customer/2.json", f"{both}\n".encode())
    lake.land("customer/3.json", b"[" + both.encode() + b",\n" + both.encode() + b'{"email": "dora@x.example"}]')
    lake.run()
    held = "SELECT DISTINCT person FROM consent_hold ORDER BY person"
    assert lake.rows(held) == [("annika@qvistberg.example",), ("carl@x.example",), ("dora@x.example",)]
    for _ in range(2):
        erase(lake.settings, ["annika@qvistberg.example"])
        for options in ({}, {"reingest": True}):
            lake.run(**options)
            assert lake.rows(held) == [("carl@x.example",), ("dora@x.example",)]
            assert lake.rows("SELECT * FROM customer_trusted") == []
    assert files_containing(IDENTIFIERS, *folders(lake)) == []
    assert (lake.landing / "customer/2.json").read_text() == '{"email": ["carl@x.example"]}\n'
    assert found_wrong(lake) == []
    erase(lake.settings, ["carl@x.example", "dora@x.example"])
    assert landing_bytes(lake.landing) == {}
    assert files_containing(("carl@", "dora@"), *folders(lake)) == []


def test_what_others_have_of_a_person_stays_and_is_counted(lake: Lake) -> None:
    annika = "annika@qvistberg.example"
    named: dict[str, Any] = {"customerName": "Annika Qvistberg", "birthDay": "1971-03-04"}
    records = [
        customer(annika, 10, shares=5, serial="QV-dev-1", phone="555-0111", **named),
        # The fulfilment system gave the number of her device to somebody else, too.
        customer("carl@x.example", 10, shares=5, serial="qv-dev-1", friend="Annika@Qvistberg.example"),
        customer(None, 20, shares=5, **named),
        customer("dora@x.example", 10, shares=5, phone="555-0111"),
        customer(annika, 12, shares=5, serial="nobody-s"),
    ]
    path = lake.land("customer/1.json", records)
    (lake.landing.parent / "a backup").hardlink_to(path)
    lake.land("accelerometer/1.json", lines(walk(ANNIKA, (1, 31))))
    lake.land("step_trainer/1.json", lines(tread(ANNIKA, (1, 31))))
    # Two people claim it, and nobody's readings coincide with its own.
    lake.land("customer/2.json", [customer("dora@x.example", 11, shares=5, serial="nobody-s")])
    lake.land("step_trainer/2.json", [distance("nobody-s", at) for at in (200, 300)])
    lake.run()
    planned = plan(lake.settings, [annika])
    assert {remains.what: remains.count for remains in planned.remains} == {
        "records of others that mention them": 1,
        "records without an address that may be theirs": 1,
        "readings of devices that they claimed, whose owner is not clear": 2,
        "records of others with a serial number of theirs": 1,
        "other names (hard links) of rewritten landing files": 1,
    }
    done = erase(lake.settings, [annika])
    assert (done.remains, done.found) == (planned.remains, ())
    lake.run()
    people = lake.rows("SELECT DISTINCT person FROM customer_landing ORDER BY ALL")
    assert people == [("carl@x.example",), ("dora@x.example",), (None,)]
    assert lake.rows("SELECT DISTINCT device FROM step_trainer_landing") == [("nobody-s",)]
    assert path.read_text().splitlines() == [json.dumps(record) for record in records[1:4]]
    assert found_wrong(lake) == []
