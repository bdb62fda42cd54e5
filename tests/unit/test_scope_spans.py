"""Incremental refresh by spans of time: affected spans are computed from the input rows in them and in their margins."""

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi.compute.incremental import InputChange, TemporaryRelations, affected_rows, candidate_query
from stedi.model.data_files import DataFiles
from stedi.model.incremental import IncrementalSpec, KeyedInput
from stedi.model.table import Column, Table
from tests.support.memory import InMemoryBackend

Row = tuple[str, int | None]
_COLUMNS = (Column("person", "string", "who"), Column("at_ms", "long", "when"))
STEPS = Table("steps_of_test", "landing", "steps", "one step", ("person", "at_ms"), _COLUMNS)
MOTIONS = Table("motions_of_test", "landing", "motions", "one motion", ("person", "at_ms"), _COLUMNS)


def nearest(spec: IncrementalSpec) -> Table:
    """A table of each step with the same person's nearest motion at most 2 ms away, by the time of the motion."""
    return Table(
        "nearest_of_test",
        "curated",
        "steps and motions",
        "one step",
        ("person", "step_ms"),
        (*_COLUMNS, Column("step_ms", "long", "when the step was")),
        inputs=(STEPS.name, MOTIONS.name),
        query=f"""
        SELECT s.person, arg_min(m.at_ms, 2 * abs(m.at_ms - s.at_ms) + (m.at_ms > s.at_ms)::INTEGER) AS at_ms,
            s.at_ms AS step_ms
        FROM {STEPS.name} AS s JOIN {MOTIONS.name} AS m ON m.person = s.person
        WHERE abs(m.at_ms - s.at_ms) <= 2
        GROUP BY s.person, s.at_ms""",
        day="at_ms",
        incremental=spec,
    )


BY_PERSON = nearest(
    IncrementalSpec(
        "person",
        {STEPS.name: KeyedInput("person", "at_ms", margin_ms=2), MOTIONS.name: KeyedInput("person", "at_ms", margin_ms=4)},
        span_ms=10,
    )
)
BY_TIME = nearest(
    IncrementalSpec(
        None,
        {STEPS.name: KeyedInput("''", "at_ms", margin_ms=2), MOTIONS.name: KeyedInput("''", "at_ms", margin_ms=4)},
        span_ms=10,
    )
)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[InMemoryBackend]:
    with InMemoryBackend(scratch=tmp_path, threads=1) as backend:
        yield backend


def put(backend: InMemoryBackend, table: Table, rows: Collection[Row]) -> DataFiles:
    """Put rows into a data file of the backend."""
    relation = f"put_{next(backend.numbers)}"
    backend.materialize_values(relation, [(c.name, c.type, [row[n] for row in rows]) for n, c in enumerate(table.columns)])
    return DataFiles((relation,))


def rows(backend: InMemoryBackend, query: str) -> Counter[tuple[Any, ...]]:
    """The rows of a query, as a multiset."""
    selected = backend.select(f"SELECT person, at_ms, step_ms FROM ({query}) AS rows")
    return Counter(tuple(row.values()) for row in selected)


def refreshed(
    backend: InMemoryBackend,
    table: Table,
    before: tuple[Collection[Row], Collection[Row]],
    now: tuple[Collection[Row], Collection[Row]],
) -> tuple[Counter[tuple[Any, ...]], Counter[tuple[Any, ...]]]:
    """Refresh a table after a change of steps and motions; returns the affected rows, and those of a full computation."""
    changes = [
        InputChange(source, put(backend, source, rows_now), put(backend, source, rows_before))
        for source, rows_before, rows_now in zip((STEPS, MOTIONS), before, now, strict=True)
    ]
    inputs_before = {change.table.name: backend.scan(change.table, change.before) for change in changes}
    inputs_now = {change.table.name: backend.scan(change.table, change.now) for change in changes}
    backend.materialize("file_of_test", candidate_query(table, inputs_before))
    with TemporaryRelations(backend, table) as relations:
        affected = affected_rows(relations, table, DataFiles(("file_of_test",)), changes)
        candidate, current = rows(backend, affected.candidate), rows(backend, affected.current)
    all_before, all_now = rows(backend, "SELECT * FROM file_of_test"), rows(backend, candidate_query(table, inputs_now))
    assert not current - all_before
    assert all_before - current + candidate == all_now
    return candidate, all_now


# A whole span and the times near it, so that margins matter.
TIMES = st.integers(105, 125)
ROW = st.tuples(st.sampled_from("aaab"), TIMES)
ROWS, CHANGED = st.sets(ROW, max_size=20), st.sets(ROW, max_size=2)


@pytest.mark.parametrize("table", [BY_PERSON, BY_TIME], ids=["by person", "by time"])
def test_affected_rows_equal_those_of_a_full_computation(backend: InMemoryBackend, table: Table, is_deep: bool) -> None:
    @settings(
        max_examples=3_000 if is_deep else 150,
        derandomize=not is_deep,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(ROWS, ROWS, CHANGED, CHANGED)
    def hold(steps: set[Row], motions: set[Row], changed_steps: set[Row], changed_motions: set[Row]) -> None:
        before, now = (steps, motions), (steps ^ changed_steps, motions ^ changed_motions)
        refreshed(backend, table, before, now)

    hold()


def test_a_motion_in_the_margin_of_a_span_affects_rows_of_the_span(backend: InMemoryBackend) -> None:
    """The nearest motion of the step at 111 was at 109, in the span before. Now it is at 112."""
    steps = [("a", 111), ("a", 101), ("b", 111), ("a", 125)]
    motions = [("a", 109), ("a", 101), ("b", 111), ("a", 125)]
    computed, full = refreshed(backend, BY_PERSON, (steps, motions), (steps, [*motions, ("a", 112)]))
    # The span from 100 on has no row of the step at 111 any more. Rows of other people are not computed.
    assert computed == Counter([("a", 101, 101), ("a", 112, 111)])
    assert full == computed + Counter([("b", 111, 111), ("a", 125, 125)])


def test_rows_of_neighbouring_spans_are_left_out(backend: InMemoryBackend) -> None:
    """A motion in the middle of a span affects no other span. Pairs of input rows in its margins are left out."""
    steps = [("a", 109), ("a", 115), ("a", 121)]
    motions = [("a", 109), ("a", 121)]
    computed, _ = refreshed(backend, BY_PERSON, (steps, motions), (steps, [*motions, ("a", 115)]))
    assert computed == Counter([("a", 115, 115)])


def test_an_input_row_without_a_time_affects_nothing(backend: InMemoryBackend) -> None:
    computed, full = refreshed(backend, BY_PERSON, ([], [("a", 1)]), ([("a", None)], [("a", 1)]))
    assert computed == full == Counter()


def test_margins_longer_than_half_a_span_are_rejected() -> None:
    with pytest.raises(ValueError, match="at most half of `span_ms`"):
        IncrementalSpec("person", {"steps": KeyedInput("person", "at_ms", margin_ms=6)}, span_ms=10)


def test_times_need_the_day_of_a_row() -> None:
    spec = IncrementalSpec("person", {STEPS.name: KeyedInput("person", "at_ms")})
    with pytest.raises(ValueError, match="give `day`"):
        Table("t", "curated", "t", "t", ("person",), _COLUMNS, inputs=(STEPS.name,), query="SELECT 1", incremental=spec)
