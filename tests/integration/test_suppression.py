"""Erased people stay out of the tables: late files, other spellings, quarantine, replay, and people who were let in again."""

import gzip
import json

from stedi.ingest.applied_erasures import mark_applied
from stedi.ingest.suppression import DevicePeriod, ErasedPerson, SuppressionList, open_suppression
from stedi.verify.verify import verify
from tests.support.lake import T0, Lake, customer, distance, reading

ERASED_AT = T0 + 1_000
ANN = ErasedPerson("ann@x.org", (DevicePeriod("S9", T0, None),))


def erase(lake: Lake, *people: ErasedPerson, at_ms: int = ERASED_AT, erasure_id: str = "first") -> SuppressionList:
    """Add tombstones, and record them as applied: the lake contains nobody of these people."""
    suppression = open_suppression(lake.settings).add(people, erased_at_ms=at_ms, erasure_id=erasure_id)
    mark_applied(lake.open_warehouse(), suppression)
    return suppression


def records(*given: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in given)


def land_late_files(lake: Lake) -> None:
    """Land records of ann and of bob on both paths of the reader."""
    people = [customer("Ann <ANN@x.org>", 20, shares=5, serial="s9"), customer("bob@x.org", 20, shares=5, serial="s9")]
    lake.land("customer/lines.json", people)
    lake.land("customer/array.json", json.dumps(people, indent=1).encode())
    readings = [reading(user, 100 + t) for user in ("Ann@X.org", "bob@x.org") for t in range(3)]
    lake.land("accelerometer/lines.json", readings)
    lake.land("accelerometer/array.json.gz", gzip.compress(json.dumps(readings).encode()))
    # Before, in and after the period in which the device was ann's.
    distances = [distance(serial, at) for serial in ("s9", "s8") for at in (-10, 100, 1_000)]
    lake.land("step_trainer/lines.json", distances)
    lake.land("step_trainer/array.json", json.dumps(distances).encode())


def test_late_files_of_an_erased_person_do_not_land(small_lake: Lake) -> None:
    erase(small_lake, ANN)
    land_late_files(small_lake)
    report = small_lake.run()
    assert small_lake.rows("SELECT DISTINCT person FROM customer_landing WHERE person LIKE '%.org'") == [("bob@x.org",)]
    assert small_lake.rows("SELECT DISTINCT person FROM accelerometer_landing WHERE person LIKE '%.org'") == [("bob@x.org",)]
    assert small_lake.rows(
        "SELECT device, sensorReadingTime, count(*) FROM step_trainer_landing WHERE source_file <> 'step_trainer/1.json' "
        "GROUP BY ALL ORDER BY ALL"
    ) == [("s8", T0 - 10, 2), ("s8", T0 + 100, 2), ("s8", T0 + 1_000, 2), ("s9", T0 - 10, 2), ("s9", T0 + 1_000, 2)]
    assert report.suppressed == {"customer": 2, "accelerometer": 6, "step_trainer": 2}
    assert [finding for finding in verify(small_lake.settings) if not finding.holds] == []
