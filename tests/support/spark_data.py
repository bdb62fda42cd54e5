"""Landing files with everything that the two engines could read or compute differently."""

from typing import Any

from tests.support.lake import Lake, customer, distance, reading

# Times around the end of the first hour.
IRREGULAR = [3_570_000 + t for t in (1, 3_100, 7_451, 9_020, 16_301, 21_090, 29_900, 29_999, 30_015, 41_701, 49_998, 57_310)]


def land_first(lake: Lake) -> None:
    """Land the files of the first run."""
    lake.land("customer/1.json", [customer("a@x", 10, shares=10, serial="s1"), customer("b@x", 10, serial="s1")])
    lake.land("customer/2.json", [customer(" C@x\t", 10, shares=10, serial="S3 "), customer("zoé@x", 10, shares=10)])
    # Of records that can't be used: a withdrawal, and one that names two people.
    unusable = [{"email": "Zoe\u0301 <ZOE\u0301@x>", "lastUpdateDate": 1}, customer("e@x, f@x", 20, shares=10)]
    lake.land("customer/unusable.json", unusable)
    dates: list[dict[str, Any]] = [
        {" sharewithresearchasofdate": "2022-06-18"},
        {"old": {"shareWithResearchAsOfDate": "2022-06-18"}},
    ]
    lake.land("customer/odd dates.json", [customer("d@x", 10, **date) for date in dates])
    lake.land("accelerometer/1.json", [reading(user, 100 + 10 * t, x=t / 7) for user in ("a@x", "c@x") for t in range(8)])
    lake.land("step_trainer/1.json", [distance(s, 100 + 10 * t) for s in ("s1", "s3") for t in range(8)])
    lake.land("accelerometer/odd name [1] %20 é.json", [{"user": "a@x"}, reading("B@X", 900)])
    # A clock that is 700 ms ahead, give or take 5 ms.
    lake.land("customer/shifted.json", [customer("g@x", 10, shares=10, serial="s7")])
    lake.land("step_trainer/shifted.json", [distance("s7", t + 700 + t % 11 - 5) for t in IRREGULAR])
    lake.land("accelerometer/shifted.json", [reading("g@x", t) for t in IRREGULAR if t % 2])


def land_more(lake: Lake) -> None:
    """Land the files of the second run: a withdrawal, late consent, an ended hold, a changed file, a repeated reading."""
    lake.land("customer/3.json", [customer("a@x", 20, serial="s1"), customer("b@x", 20, shares=15, serial="s1")])
    lake.land("customer/4.json", [customer("mailto:zoé@x", 20, shares=10)])
    lake.land("accelerometer/shifted too.json", [reading("g@x", t) for t in IRREGULAR if t % 2 == 0])
    lake.land("accelerometer/2.json", [reading("b@x", 100 + 10 * t) for t in range(5)])
    lake.land("accelerometer/odd name [1] %20 é.json", [reading("c@x", 905), reading("c@x", 905)])
