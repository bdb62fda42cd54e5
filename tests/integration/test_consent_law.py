"""Consent, against a slow and obvious reference: whatever customers' files contain, and however they come.

After every run each table of people has exactly those who consent, and each record has landed or is in quarantine.
The queries alone, in memory: tests/unit/test_incremental_law.py.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, settings

from stedi.compute.duckdb import DuckDBBackend
from stedi.model.table import Table
from stedi.tables.registry import REFRESHED
from tests.support import consent_reference as reference
from tests.support.compare import contents, found_wrong, rule_counts
from tests.support.customer_feeds import PERSON_AT, PERSON_OF, LandingFile, feeds, land_readings
from tests.support.lake import Lake
from tests.support.landing import LandingFolder

TABLES_OF_PEOPLE = tuple(table for table in REFRESHED if table.requires_consent and not table.on_demand)
# What says whose rows these are, apart from the tables' own identities.
WHOSE: Mapping[str, Mapping[str, str]] = {
    "timeStamp": PERSON_AT,
    "sensorReadingTime": PERSON_AT,
    "email": PERSON_OF,
}


def law_settings(examples: int, *, deep: int, is_deep: bool) -> settings:
    return settings(
        max_examples=deep if is_deep else examples,
        derandomize=not is_deep,
        # Without the explanation, which takes minutes.
        phases=(Phase.generate, Phase.shrink),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def column_of_whose(table: Table) -> str:
    return next(column for column in WHOSE if column in table.column_names)


def whose_rows(lake: Lake) -> dict[str, set[str]]:
    """The people who have rows, by table of people."""
    columns = {table.name: column_of_whose(table) for table in TABLES_OF_PEOPLE}
    parts = (f"SELECT '{name}', {column}::VARCHAR FROM {name} GROUP BY ALL" for name, column in columns.items())
    people: dict[str, set[str]] = {name: set() for name in columns}
    for name, value in lake.rows(" UNION ALL ".join(parts)):
        people[name].add(WHOSE[columns[name]][value])
    return people


def records_by_file(lake: Lake) -> dict[str, int]:
    """The landing and quarantined rows of each file of customers."""
    return dict(
        lake.rows(
            """SELECT source_file, count(*) FROM (
                SELECT source_file FROM customer_landing
                UNION ALL SELECT source_file FROM quarantine WHERE feed = 'customer'
            ) GROUP BY source_file"""
        )
    )


def check(lake: Lake, newest: Mapping[str, LandingFile], run: int) -> None:
    """Compare a lake with what the reference says of the newest version of each file."""
    facts = {name: file.facts for name, file in newest.items()}
    consenting = reference.consenting(facts.values())
    held = reference.on_hold(facts.values())
    for name, people in whose_rows(lake).items():
        assert people <= consenting, f"after run {run}, {name} has people without consent: {people - consenting}; {held=}"
        assert people == consenting, f"after run {run}, {name} lacks people who consent: {consenting - people}; {held=}"
    assert records_by_file(lake) == reference.record_counts(facts), f"records of files after run {run}"


@contextmanager
def new_lake(folder: Path, *, landing_of: Lake | None = None) -> Iterator[Lake]:
    """A lake in a folder of its own, or a new warehouse of another lake's landing files."""
    with TemporaryDirectory(dir=folder) as own:
        lake = Lake(Path(own))
        if landing_of is not None:
            lake.settings = lake.settings.model_copy(update={"landing": landing_of.settings.landing})
        yield lake


def test_exactly_those_who_consent_have_rows_after_every_run(tmp_path: Path, is_deep: bool) -> None:
    @law_settings(10, deep=80, is_deep=is_deep)
    @given(feeds())
    def hold(runs: list[list[LandingFile]]) -> None:
        newest: dict[str, LandingFile] = {}
        with new_lake(tmp_path) as lake:
            land_readings(lake.landing)
            for number, files in enumerate(runs, start=1):
                for file in files:
                    file.land(lake.landing)
                    newest[file.name] = file
                assert not lake.run().failed
                check(lake, newest, number)
            assert found_wrong(lake) == []
            if len(runs) == 1:
                return
            with new_lake(tmp_path, landing_of=lake) as fresh:
                fresh.run()
                assert contents(fresh) == contents(lake)
                assert rule_counts(fresh) == rule_counts(lake)

    hold()


def test_every_record_lands_or_is_quarantined_as_the_reference_says(tmp_path: Path, is_deep: bool) -> None:
    @law_settings(40, deep=400, is_deep=is_deep)
    @given(feeds())
    def hold(runs: list[list[LandingFile]]) -> None:
        with TemporaryDirectory(dir=tmp_path) as folder:
            landing = LandingFolder(Path(folder), engine)
            newest = {file.name: file for files in runs for file in files}
            expected: dict[tuple[str, bool], list[int]] = defaultdict(list)
            for file in newest.values():
                file.land(landing.landing)
                for position, record in enumerate(file.facts.records, start=1):
                    expected[file.name, reference.lands(record, file.arrival)].append(position)
            landing.run()
            found: dict[tuple[str, bool], list[int]] = defaultdict(list)
            for name, has_landed, position in landing.rows(
                """SELECT source_file, true, source_position FROM customer_landing
                UNION ALL SELECT source_file, false, source_position FROM quarantine ORDER BY ALL"""
            ):
                found[name, has_landed].append(position)
            assert found == expected, "positions of records by file and whether they landed"

    with DuckDBBackend(scratch=tmp_path, threads=1) as engine:
        hold()
