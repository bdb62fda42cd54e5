"""Whatever arrives in whatever order, and however often runs die: the tables equal a full rebuild.

Hypothesis makes up sequences of what can happen to a lake. A model remembers the content last
taken of every landing file; a fresh lake that gets just these files has to hold the same rows."""

import gzip
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pyarrow as pa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from stedi.catalog.run_log import latest_run
from stedi.config import Settings
from stedi.maintenance.maintain import maintain
from stedi.model.table import with_ancestors
from stedi.pipeline import RunReport
from stedi.tables.registry import BY_NAME
from tests.support.compare import DERIVED, NAMES, Died, as_another, commits, contents, done, found_wrong, rule_counts, tree
from tests.support.lake import Lake, Record, customer, distance, reading

DAY = 86_400_000
# Few of everything, so that things coincide. Readings lie before, between and after the moments
# at which customers change, and on three days.
MOMENTS = (10, 20, 30, 31, 40, DAY - 1, DAY, DAY + 20, 2 * DAY + 5)
CHANGED = (5, 20, 31, DAY, DAY + 10, 2 * DAY)
SERIALS = ("s1", "s2", "s3")
FEEDS = ("customer", "accelerometer", "step_trainer")

moments = st.sampled_from(MOMENTS)
serials = st.sampled_from(SERIALS)
people = st.sampled_from("abcd")
policies = st.sampled_from(("customer", "reading"))
spellings = st.sampled_from(("{}@x", "{}@X", " {}@x "))
addresses = st.builds(str.format, spellings, people)
customers = st.builds(
    customer,
    addresses | st.none(),
    st.sampled_from(CHANGED),
    shares=st.sampled_from((None, 1, *CHANGED)),
    serial=serials | st.none(),
    registered=st.sampled_from((None, 1, 2)),
    birthDay=st.sampled_from((None, "1990-01-01", "0967-01-01")),
)
readings = st.builds(reading, addresses, moments, st.sampled_from((0.0, 1.0)))
distances = st.builds(distance, serials, moments, st.sampled_from((100, 200, -1)))
RECORDS = {"customer": customers, "accelerometer": readings, "step_trainer": distances}
LAYOUTS = ("lines", "crlf", "together", "array", "commas", "gzip", "mark", "cut off", "broken", "none")
layouts = st.sampled_from(("lines",) * 6 + LAYOUTS)
numbers = st.integers(0, 99)


def laid_out(records: Sequence[Record], layout: str) -> bytes:
    """Records as one of many systems writes them."""
    texts = [json.dumps(record) for record in records]
    lines = "\n".join(texts)
    written: dict[str, bytes] = {
        "lines": lines.encode(),
        "crlf": "\r\n".join(texts).encode(),
        "together": "".join(texts).encode(),
        "array": f"[{', '.join(texts)}]".encode(),
        "commas": ",\n".join([*texts, ""]).encode(),
        "gzip": gzip.compress(lines.encode(), mtime=0),
        "mark": lines.encode("utf-8-sig"),
        "cut off": lines[:-3].encode(),
        "broken": f'{{}}\nno json\n{lines}\n{{"email": [1], "user": 5, "serialNumber": "s1"}}'.encode(),
        "none": b"",
    }
    return written[layout]


class Version(NamedTuple):
    """What a landing file contains, and when it arrived: which of two files is later decides what ends a hold."""

    content: bytes
    arrived_ns: int


class LakeMachine(RuleBasedStateMachine):
    """A lake, and a model of the landing files: what is there, and what was last taken of each."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.lake = Lake(self.folder)
        self.lake.settings = self.lake.settings.model_copy(update={"maintain_every": 3, "keep_runs": 2})
        self.there: dict[str, Version] = {}
        self.taken: dict[str, Version] = {}
        self.numbers = count()

    @initialize(policy=policies)
    def begin(self, policy: str) -> None:
        """Three people who walk, of whom two consent, and a first run."""
        self._set_policy(policy)
        people = [
            customer(f"{person}@x", 5, shares=shares, serial="s1")
            for person, shares in zip("abc", (5, 5, None), strict=True)
        ]
        self._put("customer/first.json", laid_out(people, "lines"))
        for number, (person, serial) in enumerate(zip("abc", SERIALS, strict=True)):
            self.walk(person, serial, set(MOMENTS[number::3]))
        self.run_and_check()

    def teardown(self) -> None:
        try:
            # Not after a failure, which this would hide.
            if sys.exception() is None:
                self.run_and_check()
                self.compare_with_fresh_lake(NAMES)
        finally:
            self._folder.cleanup()

    # What happens to landing files.

    def _put(self, name: str, content: bytes) -> None:
        path = self.lake.land(name, content)
        self.there[name] = Version(content, path.stat().st_mtime_ns)

    def _pick(self, number: int) -> str:
        return sorted(self.there)[number % len(self.there)]

    @rule(data=st.data(), feed=st.sampled_from(FEEDS), layout=layouts)
    def land_a_file(self, data: st.DataObject, feed: str, layout: str) -> None:
        records: list[Record] = data.draw(st.lists(RECORDS[feed], min_size=1, max_size=4))
        self._put(f"{feed}/{next(self.numbers)}.json", laid_out(records, layout))

    @rule(person=people, serial=serials, at=st.sets(moments, min_size=3, max_size=5))
    def walk(self, person: str, serial: str, at: set[int]) -> None:
        """Readings of a phone and a device that coincide: evidence of who owns the device."""
        number = next(self.numbers)
        self._put(f"accelerometer/{number}.json", laid_out([reading(f"{person}@x", t) for t in sorted(at)], "lines"))
        self._put(f"step_trainer/{number}.json", laid_out([distance(serial, t) for t in sorted(at)], "lines"))

    @rule(
        person=people,
        spelling=spellings,
        at=st.sampled_from((*CHANGED, None)),
        shares=st.sampled_from((None, 1, 20, MOMENTS[-1])),
        serial=serials,
    )
    def consent_changes(self, person: str, spelling: str, at: int | None, shares: int | None, serial: str) -> None:
        """By a record that comes late, or by the newest of all."""
        number = next(self.numbers)
        record = customer(spelling.format(person), at or MOMENTS[-1] + number, shares=shares, serial=serial)
        self._put(f"customer/{number}.json", laid_out([record], "lines"))

    @rule(person=people)
    def newest_records_disagree(self, person: str) -> None:
        number = next(self.numbers)
        both = [customer(f"{person}@x", MOMENTS[-1] + number, shares=shares) for shares in (None, 20)]
        self._put(f"customer/{number}.json", laid_out(both, "lines"))

    @precondition(lambda self: self.there)
    @rule(data=st.data(), number=numbers, layout=layouts)
    def change_a_file(self, data: st.DataObject, number: int, layout: str) -> None:
        name = self._pick(number)
        records: list[Record] = data.draw(st.lists(RECORDS[name.partition("/")[0]], max_size=3))
        self._put(name, laid_out(records, layout))

    @precondition(lambda self: self.there)
    @rule(number=numbers)
    def delete_a_file(self, number: int) -> None:
        name = self._pick(number)
        (self.lake.landing / name).unlink()
        del self.there[name]

    @precondition(lambda self: self.there)
    @rule(number=numbers)
    def deliver_a_file_again(self, number: int) -> None:
        name = self._pick(number)
        self._put(f"{name.partition('/')[0]}/{next(self.numbers)}.json", self.there[name].content)

    # What the program does.

    def _run(self, die_at: int = 0, after: bool = False, **options: Any) -> RunReport | None:
        """One run, dead or alive; the model learns of what was taken."""
        report = None
        with commits(die_at=die_at, after=after) as committed, suppress(Died):
            report = self.lake.run(**options)
        for feed in FEEDS:
            if f"{feed}_landing" in committed:
                self.taken |= {name: version for name, version in self.there.items() if name.startswith(f"{feed}/")}
        return report

    def run_and_check(self, **options: Any) -> RunReport:
        report = self._run(**options)
        assert report is not None
        assert not report.failed
        assert {name: self.taken[name] for name in self.there} == self.there
        assert found_wrong(self.lake) == []
        return report

    @rule(options=st.sampled_from(({}, {}, {}, {"full_refresh": True}, {"reingest": True})))
    def run(self, options: dict[str, bool]) -> None:
        self.run_and_check(**options)

    @rule(name=st.sampled_from(DERIVED))
    def run_selected(self, name: str) -> None:
        """Only the selected tables are up to date then."""
        assert self._run(select=[name]) is not None
        selected = with_ancestors([name], BY_NAME) & set(DERIVED)
        assert [finding for finding in found_wrong(self.lake) if finding.table in selected] == []

    @rule()
    def plan_and_run(self) -> None:
        before = tree(self.folder)
        plan = self.lake.run(dry_run=True)
        assert tree(self.folder) == before
        report = self.run_and_check()
        assert done(plan) == done(report)
        assert (plan.files, plan.quarantined) == (report.files, report.quarantined)
        assert plan.outside_consent == report.outside_consent
        assert plan.rules == report.rules

    def _set_policy(self, policy: str) -> None:
        self.lake.settings = Settings.model_validate(self.lake.settings.model_dump() | {"consent": {"policy": policy}})

    @rule()
    def switch_policy(self) -> None:
        self._set_policy("reading" if self.lake.settings.consent.policy == "customer" else "customer")
        self.run_and_check()

    @rule(number=st.integers(1, 16), after=st.booleans())
    def a_run_dies(self, number: int, after: bool) -> None:
        """Readers see nothing of it, unless it had finished and died in its maintenance."""
        before, finished = contents(self.lake), latest_run(self.lake.open_warehouse())
        if self._run(die_at=number, after=after) is None and latest_run(self.lake.open_warehouse()) == finished:
            assert contents(self.lake) == before

    @rule(number=st.integers(0, 6), after=st.booleans())
    def maintenance(self, number: int, after: bool) -> None:
        """It may die as well; readers see nothing of it."""
        before = contents(self.lake)
        with commits(die_at=number, after=after), suppress(Died):
            maintain(self.lake.settings)
        assert contents(self.lake) == before

    @rule(name=st.sampled_from(DERIVED), number=numbers)
    def another_writer_deletes_a_row(self, name: str, number: int) -> None:
        def without_one(rows: pa.Table) -> pa.Table:
            place = number % max(1, len(rows))
            return pa.concat_tables([rows.slice(0, place), rows.slice(place + 1)])

        as_another(self.lake, name, without_one)
        self.run_and_check()

    def compare_with_fresh_lake(self, tables: Sequence[str]) -> None:
        folder = self.folder / "fresh"
        folder.mkdir()
        fresh = Lake(folder, policy=self.lake.settings.consent.policy)
        for name, version in self.taken.items():
            os.utime(fresh.land(name, version.content), ns=(version.arrived_ns, version.arrived_ns))
        fresh.run()
        assert contents(self.lake, tables) == contents(fresh, tables)
        assert rule_counts(self.lake, tables) == rule_counts(fresh, tables)


def test_any_sequence_of_events_leaves_what_a_full_rebuild_gives(is_deep: bool) -> None:
    run_state_machine_as_test(
        LakeMachine,
        settings=settings(
            max_examples=25 if is_deep else 4,
            stateful_step_count=30 if is_deep else 12,
            derandomize=not is_deep,
            database=None,
            # Sequences are short enough to read; making them shorter takes minutes.
            phases=(Phase.generate,),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
