"""A table whose changes reach spans of time: only these are computed again, from the facts in them and in their margins."""

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


def nearest(scope: IncrementalSpec) -> Table:
    """Each step beside the nearest motion of the same person at most 2 ms away, by the time of the motion."""
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
        incremental=scope,
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
def engine(tmp_path: Path) -> Iterator[InMemoryBackend]:
    with InMemoryBackend(scratch=tmp_path, threads=1) as engine:
        yield engine


def put(engine: InMemoryBackend, table: Table, rows: Collection[Row]) -> DataFiles:
    """Rows of a table, as a file that the engine reads."""
    relation = f"put_{next(engine.numbers)}"
    engine.materialize_values(relation, [(c.name, c.type, [row[n] for row in rows]) for n, c in enumerate(table.columns)])
    return DataFiles((relation,))


def rows(engine: InMemoryBackend, query: str) -> Counter[tuple[Any, ...]]:
    found = engine.select(f"SELECT person, at_ms, step_ms FROM ({query}) AS rows")
    return Counter(tuple(row.values()) for row in found)


def refreshed(
    engine: InMemoryBackend,
    table: Table,
    before: tuple[Collection[Row], Collection[Row]],
    now: tuple[Collection[Row], Collection[Row]],
) -> tuple[Counter[tuple[Any, ...]], Counter[tuple[Any, ...]]]:
    """The steps and motions of a table change; returns the rows in reach of that, and those of a full computation."""
    changes = [
        InputChange(of, put(engine, of, after), put(engine, of, earlier))
        for of, earlier, after in zip((STEPS, MOTIONS), before, now, strict=True)
    ]
    full_before, full_now = (
        candidate_query(table, {change.table.name: engine.scan(change.table, files) for change, files in versions})
        for versions in ([(c, c.before) for c in changes], [(c, c.now) for c in changes])
    )
    engine.materialize("file_of_test", full_before)
    with TemporaryRelations(engine, table) as relations:
        affected = affected_rows(relations, table, DataFiles(("file_of_test",)), changes)
        computed, replaced = rows(engine, affected.candidate), rows(engine, affected.current)
    whole, full = rows(engine, "SELECT * FROM file_of_test"), rows(engine, full_now)
    assert not replaced - whole
    assert whole - replaced + computed == full
    return computed, full


# A whole span and what is near it, so that margins matter.
MOMENTS = st.integers(105, 125)
ROW = st.tuples(st.sampled_from("aaab"), MOMENTS)
ROWS, CHANGED = st.sets(ROW, max_size=20), st.sets(ROW, max_size=2)


@pytest.mark.parametrize("table", [BY_PERSON, BY_TIME], ids=["by person", "by time"])
def test_what_changes_reach_is_as_in_a_full_computation(engine: InMemoryBackend, table: Table, is_deep: bool) -> None:
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
        refreshed(engine, table, before, now)

    hold()


def test_a_motion_in_the_margin_of_a_span_decides_rows_of_the_span(engine: InMemoryBackend) -> None:
    """The step at 111 had its nearest motion at 109, in the span before; now it has one at 112."""
    steps = [("a", 111), ("a", 101), ("b", 111), ("a", 125)]
    motions = [("a", 109), ("a", 101), ("b", 111), ("a", 125)]
    computed, full = refreshed(engine, BY_PERSON, (steps, motions), (steps, [*motions, ("a", 112)]))
    # Of the span from 100 on there is no row of a step at 111 any more, nor anything of others.
    assert computed == Counter([("a", 101, 101), ("a", 112, 111)])
    assert full == computed + Counter([("b", 111, 111), ("a", 125, 125)])


def test_nothing_of_the_neighbouring_spans_is_computed(engine: InMemoryBackend) -> None:
    """A motion in the middle of a span reaches no other, and of the pairs that its margins allow, only its own stay."""
    steps = [("a", 109), ("a", 115), ("a", 121)]
    motions = [("a", 109), ("a", 121)]
    computed, _ = refreshed(engine, BY_PERSON, (steps, motions), (steps, [*motions, ("a", 115)]))
    assert computed == Counter([("a", 115, 115)])


def test_a_fact_without_a_moment_concerns_nothing(engine: InMemoryBackend) -> None:
    computed, full = refreshed(engine, BY_PERSON, ([], [("a", 1)]), ([("a", None)], [("a", 1)]))
    assert computed == full == Counter()


def test_margins_that_could_skip_a_span_are_refused() -> None:
    with pytest.raises(ValueError, match="at most half of `span_ms`"):
        IncrementalSpec("person", {"steps": KeyedInput("person", "at_ms", margin_ms=6)}, span_ms=10)


def test_moments_need_the_day_of_a_row() -> None:
    scope = IncrementalSpec("person", {STEPS.name: KeyedInput("person", "at_ms")})
    with pytest.raises(ValueError, match="give `day`"):
        Table("t", "curated", "t", "t", ("person",), _COLUMNS, inputs=(STEPS.name,), query="SELECT 1", incremental=scope)
