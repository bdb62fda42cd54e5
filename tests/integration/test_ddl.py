"""DDL and named queries for Athena: complete, current, and the queries answered by real tables."""

from pathlib import Path

import pytest
import sqlglot

from stedi.aws.ddl import databases_ddl, ddl
from stedi.aws.named_queries import NAMED_QUERIES, NamedQuery
from stedi.cli.commands import app
from stedi.model.table import Table
from stedi.tables.registry import ALL, BY_NAME
from tests.support.lake import Lake, customer, distance, reading

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_a_landing_table_has_a_raw_table_of_its_name_in_another_database() -> None:
    text = ddl(BY_NAME["customer_landing"], "s3://in/", "s3://out/lake", "walks")
    assert "CREATE EXTERNAL TABLE IF NOT EXISTS `walks_raw`.`customer_landing` (" in text
    assert "CREATE TABLE IF NOT EXISTS `walks`.`customer_landing` (" in text
    assert "LOCATION 's3://in/customer/'" in text
    assert "LOCATION 's3://out/lake/stedi/customer_landing/'" in text
    assert "`sharewithresearchasofdate` bigint" in text
    assert all(f"`{database}`" in databases_ddl("walks") for database in ("walks", "walks_raw"))


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_ddl_has_every_column_with_its_meaning_and_the_partition(table: Table) -> None:
    text = ddl(table)
    for column in table.columns:
        meaning = column.meaning.replace("'", "\\'")
        assert f"`{column.name.lower()}` " in text
        assert f"COMMENT '{meaning}'" in text
    assert all(len(column.meaning.encode()) <= 255 for column in table.columns), "longer than Glue takes"
    assert ("PARTITIONED BY (truncate(86400000, " in text) == bool(table.day)
    assert "'table_type' = 'ICEBERG'" in text


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("ddl", {"databases", *(table.name for table in ALL)}),
        ("queries", {question.name for question in NAMED_QUERIES}),
    ],
)
def test_nothing_generated_is_left_of_what_went(folder: str, names: set[str]) -> None:
    assert {path.stem for path in (DEPLOY / folder).iterdir()} == names


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """One consenting walker with a device, one who withdrew, and a broken record."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.land(
        "customer/a.json",
        [
            customer("a@x", 86_400_000, shares=1, serial="s1"),
            customer("b@x", 1, shares=1, serial="s2"),
            customer("b@x", 9, serial="s2"),
        ],
    )
    lake.land("accelerometer/a.json", [reading("a@x", at, 1.0) for at in (5, 6, 7, 8, 8)] + [reading("b@x", 5)])
    lake.land("step_trainer/a.json", [distance("s1", at, 105) for at in (5, 6, 7, 8)])
    lake.land("accelerometer/b.json", b"broken\n")
    lake.run()
    return lake


def ask(lake: Lake, name: str) -> list[tuple[object, ...]]:
    return lake.rows(next(question.sql for question in NAMED_QUERIES if question.name == name))


@pytest.mark.parametrize("question", NAMED_QUERIES, ids=lambda question: question.name)
def test_every_question_is_answered_here_and_is_a_query_for_athena(answered: Lake, question: NamedQuery) -> None:
    answer = answered.rows(question.sql)
    assert bool(answer) == (question.name not in ("quality_over_time", "serials_claimed_by_many"))
    [parsed] = sqlglot.parse(question.athena, read="athena")
    assert isinstance(parsed, sqlglot.exp.Query)
    tables = {table.name for table in parsed.find_all(sqlglot.exp.Table)}
    assert tables <= set(BY_NAME)
    columns = {identifier.name for identifier in parsed.find_all(sqlglot.exp.Identifier)}
    assert all(name == name.lower() for name in columns)
    assert '"user"' in question.athena or "user" not in columns


def test_answers_worked_out_by_hand(answered: Lake) -> None:
    assert ask(answered, "readings_left_out") == [(6, 5, 4)]
    assert ask(answered, "quarantine_by_reason")[0][:4] == ("accelerometer", "not_an_object", 1, 1)
    assert ask(answered, "customers_without_device") == [("one", 1)]
    assert [row[1:3] for row in ask(answered, "pairs_per_person")] == [(4, 1)]
    assert ask(answered, "distance_and_motion") == [(100.0, 4, 2**0.5)]
    assert ("curated", "machine_learning_curated", 4) in ask(answered, "rows_per_table")
    assert [row[1:] for row in ask(answered, "readings_per_day")] == [(4, 4)]
    assert [row[1:] for row in ask(answered, "consent_over_time")] == [(2, 1)]
    assert ("confirmed", 1, 1, 4) in ask(answered, "device_owners_by_status")


def test_the_command_takes_places_and_database(capsys: pytest.CaptureFixture[str]) -> None:
    app(["ddl", "customer_trusted", "--warehouse-at", "s3://w", "--database", "d"], standalone_mode=False)
    assert "LOCATION 's3://w/stedi/customer_trusted/'" in capsys.readouterr().out
