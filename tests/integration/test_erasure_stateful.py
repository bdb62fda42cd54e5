"""Whatever is landed, run, erased, restored and let in again in whatever order: no erased person is anywhere."""

import itertools
import json
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from stedi.errors import WarehouseError
from stedi.maintenance.maintain import maintain
from stedi.privacy.erasure.erase import erase, lift, plan
from tests.support.byte_search import files_containing
from tests.support.compare import found_wrong
from tests.support.lake import T0, Lake, customer, distance, reading

PEOPLE = ("annqv", "beazw", "carky")
SPELLINGS = ("{}@x.example", "{} <{}@X.example>")
people = st.sampled_from(PEOPLE)
spellings = st.sampled_from(SPELLINGS)
moments = st.sampled_from((10, 20, 40, 86_400_020))
layouts = st.sampled_from(("lines", "array", "broken"))


def address(person: str) -> str:
    """The canonical address."""
    return f"{person}@x.example"


class ErasureMachine(RuleBasedStateMachine):
    """A lakehouse, a backup of it, and who may be in it.

    Attributes:
        erased: people who may be nowhere.
        eras: how often each person was let in again.
        erasures: number of erasures so far.
        customers: customer records that were landed and not erased: person, era and time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.lake = Lake(self.folder)
        self.erased: set[str] = set()
        self.eras = dict.fromkeys(PEOPLE, 0)
        self.erasures = 0
        self.customers: set[tuple[str, int, int]] = set()
        self.numbers = itertools.count()
        self.is_restored = False

    def teardown(self) -> None:
        try:
            if sys.exception() is None:
                self.run_and_check()
        finally:
            self._folder.cleanup()

    @initialize()
    def begin(self) -> None:
        """Everybody has a device, and consents."""
        self.land(PEOPLE, 5, SPELLINGS[0], "lines")
        for number, person in enumerate(PEOPLE):
            # Nobody else's readings coincide with theirs.
            times = [100 + number * 3_600_000 + 37 * n * n for n in range(12)]
            self.lake.land(f"accelerometer/{number}.json", [reading(address(person), at) for at in times])
            self.lake.land(f"step_trainer/{number}.json", [distance(f"device-{person}", at) for at in times])
        self.lake.run()
        self.back_up()

    @rule(who=st.sets(people, min_size=1), at=moments, spelling=spellings, layout=layouts)
    def land(self, who: "set[str] | tuple[str, ...]", at: int, spelling: str, layout: str) -> None:
        """Land customer records of some people, late ones of erased people, too."""
        number = next(self.numbers)
        records = []
        for person in sorted(who):
            era = self.eras[person]
            # Somebody who was let in again has records from after the erasure.
            time_ms = int(time.time() * 1000) - T0 if era else at + number
            name, times = f"{person}-era-{era}", {"shares": time_ms if era else at, "registered": time_ms if era else 1}
            records.append(
                customer(spelling.format(person, person), time_ms, serial=f"device-{person}", customerName=name, **times)
            )
            if person not in self.erased:
                self.customers.add((person, era, T0 + time_ms))
        texts = [json.dumps(record) for record in records]
        if layout == "array":
            content = f"[{', '.join(texts)}]"
        else:
            broken = [f'{{"email": "{address(person)}", "lastUpdateDate": "no"}}' for person in sorted(who)]
            content = "".join(f"{text}\n" for text in (*(broken if layout == "broken" else ()), *texts))
        self.lake.land(f"customer/{number}.json", content.encode())

    @rule(who=people)
    def erase(self, who: str) -> None:
        """Erase one person, perhaps once more."""
        planned = plan(self.lake.settings, [address(who)])
        done = erase(self.lake.settings, [address(who)])
        assert done.found == ()
        assert [file.name for file in planned.files] == [file.name for file in done.files]
        self.erased.add(who)
        self.erasures += 1
        self.forget_erased(self.customers)
        self.is_restored = False
        self.check_nobody()

    @precondition(lambda self: self.erased and not self.is_restored)
    @rule(number=st.integers(0, 2))
    def let_in(self, number: int) -> None:
        """Let an erased person in again."""
        who = sorted(self.erased)[number % len(self.erased)]
        lift(self.lake.settings, address(who))
        self.erased.remove(who)
        self.eras[who] += 1

    def forget_erased(self, customers: Iterable[tuple[str, int, int]]) -> None:
        """Only records of people who are not erased remain, and only from after they were let in."""
        self.customers = {each for each in customers if each[0] not in self.erased and each[1] == self.eras[each[0]]}

    @precondition(lambda self: not self.is_restored)
    @rule(options=st.sampled_from(({}, {}, {"reingest": True})))
    def run_and_check(self, options: "dict[str, bool] | None" = None) -> None:
        """Run, and check everything."""
        if self.is_restored:
            erase(self.lake.settings, [])
            self.is_restored = False
        self.lake.run(**(options or {}))
        found = {(person.removesuffix("@x.example"), at) for person, at in self._customers()}
        assert found == {(person, at) for person, _, at in self.customers}
        assert found_wrong(self.lake) == []
        # Late files of erased people may still be in the landing folder.
        self.check_nobody(self.lake.warehouse)

    def _customers(self) -> list[tuple[str, int]]:
        return self.lake.rows("SELECT person, lastUpdateDate FROM customer_landing")

    def check_nobody(self, *folders: Path) -> None:
        """Assert that no erased person is in any byte."""
        everywhere = (self.lake.landing, self.lake.warehouse, Path(self.lake.settings.privacy_folder))
        eras = {f"{person}-era-{era}" for person in PEOPLE for era in range(self.eras[person])}
        assert files_containing(self.erased | eras, *(folders or everywhere)) == []

    @rule()
    def upkeep(self) -> None:
        """Compact files, and expire snapshots."""
        if not self.is_restored:
            maintain(self.lake.settings.model_copy(update={"keep_runs": 2}))

    @rule()
    def back_up(self) -> None:
        """Copy warehouse and landing files."""
        shutil.rmtree(self.folder / "backup", ignore_errors=True)
        for name in ("landing", "lakehouse"):
            shutil.copytree(self.folder / name, self.folder / "backup" / name)
        self.backup = (frozenset(self.customers), self.erasures, self.is_restored)

    @rule()
    def restore(self) -> None:
        """Restore the backup. Nobody may read it if it is from before an erasure."""
        customers, erasures, was_restored = self.backup
        for name in ("landing", "lakehouse"):
            shutil.rmtree(self.folder / name)
            shutil.copytree(self.folder / "backup" / name, self.folder / name)
        self.forget_erased(customers)
        self.is_restored = was_restored or self.erasures > erasures
        if self.is_restored:
            for work in (self.lake.run, self._customers, lambda: maintain(self.lake.settings)):
                with pytest.raises(WarehouseError, match="restore-check"):
                    work()

    @precondition(lambda self: self.is_restored)
    @rule()
    def restore_check(self) -> None:
        """Erase again whom a backup brought back."""
        assert erase(self.lake.settings, []).found == ()
        self.is_restored = False
        self.check_nobody()


def test_no_erased_person_is_anywhere_after_any_sequence(is_deep: bool) -> None:
    run_state_machine_as_test(
        ErasureMachine,
        settings=settings(
            max_examples=25 if is_deep else 2,
            stateful_step_count=15 if is_deep else 6,
            deadline=None,
            phases=(Phase.generate, *((Phase.shrink,) if is_deep else ())),
            suppress_health_check=list(HealthCheck),
        ),
    )
