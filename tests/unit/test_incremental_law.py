"""Incremental equals full, and nobody without consent has a row, whatever arrives in whatever order.

Commits, crashes and other writers are tried on files in tests/integration/test_stateful.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.lake import Record, customer, distance, reading
from tests.support.memory import DERIVED, InMemoryBackend, MemoryTables

DAY = 86_400_000
# Few of everything, so that things coincide: readings before, between and after the moments at which customers change.
MOMENTS = (10, 20, 30, 31, DAY - 1, DAY, DAY + 20)
CHANGED = (5, 20, 31, DAY)
ADDRESSES = st.sampled_from(("a@x", "A@X ", "b@x", "c@x"))
SERIALS = st.sampled_from(("s1", "s2"))

CUSTOMERS = st.builds(
    customer,
    ADDRESSES | st.none(),
    st.sampled_from(CHANGED),
    shares=st.sampled_from((None, 1, *CHANGED)),
    serial=SERIALS | st.none(),
    registered=st.sampled_from((None, 1, 2)),
)
READINGS = st.builds(reading, ADDRESSES, st.sampled_from(MOMENTS), st.sampled_from((0.0, 1.0)))
DISTANCES = st.builds(distance, SERIALS, st.sampled_from(MOMENTS), st.sampled_from((100, 200)))
FILES = st.one_of(
    st.tuples(st.sampled_from(("customer/1", "customer/2", "customer/3")), st.lists(CUSTOMERS, max_size=4)),
    st.tuples(st.sampled_from(("accelerometer/1", "accelerometer/2")), st.lists(READINGS, max_size=9)),
    st.tuples(st.sampled_from(("step_trainer/1", "step_trainer/2")), st.lists(DISTANCES, max_size=9)),
)
# Each batch of files is one run's.
BATCHES = st.lists(st.lists(FILES, min_size=1, max_size=4), min_size=2, max_size=4)
TABLES_OF_PEOPLE = tuple(t.name for t in DERIVED if t.requires_consent and not t.person_is_pseudonym)


def without_consent(files: Mapping[str, Sequence[Record]]) -> set[str]:
    """People none of whose newest records consents, worked out the slow and obvious way."""
    newest: dict[str, tuple[int, bool]] = {}
    for name, records in files.items():
        for record in records:
            if name.startswith("customer/") and record.get("email"):
                person, at = record["email"].strip().lower(), record["lastUpdateDate"]
                shares = record.get("shareWithResearchAsOfDate") is not None
                before, shared = newest.get(person, (at, False))
                newest[person] = (at, shares or (shared and before == at)) if at >= before else (before, shared)
    return {"a@x", "b@x", "c@x"} - {person for person, (_, shares) in newest.items() if shares}


def test_after_every_batch_the_tables_are_those_of_a_full_computation(tmp_path: Path, is_deep: bool) -> None:
    @settings(
        max_examples=1_000 if is_deep else 40,
        derandomize=not is_deep,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(BATCHES, st.sampled_from(("customer", "reading")))
    def hold(batches: Sequence[Sequence[tuple[str, list[Record]]]], policy: str) -> None:
        tables = MemoryTables(engine, policy)
        files: dict[str, list[Record]] = {}
        for batch in batches:
            for name, records in batch:
                tables.land(name, records)
                files[name] = records
            assert not tables.run().failed
            assert tables.found_wrong() == []
            refused = without_consent(files)
            for table in TABLES_OF_PEOPLE:
                assert refused.isdisjoint(person for (person,) in tables.rows(f"SELECT DISTINCT person FROM {table}"))

    with InMemoryBackend(scratch=tmp_path, threads=1) as engine:
        hold()
