"""SQL text of the backends: relations put before a query, parameters, and their translation for Spark."""

import duckdb
import pytest

from stedi.compute.duckdb.sql import bind_parameters
from stedi.compute.spark.dialect import translate
from stedi.compute.sql import with_relations

ONE, TWO = "SELECT 1 AS a", "SELECT 2 AS a"


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT a FROM one", [(1,)]),
        ('SELECT a FROM "two"', [(2,)]),
        ("WITH both_of AS (SELECT a FROM one UNION ALL SELECT a FROM two) SELECT a FROM both_of ORDER BY a", [(1,), (2,)]),
        ("SELECT a -- one's only column\nFROM one WHERE a <> $b AND 'it''s' <> ''", [(1,)]),
    ],
)
def test_a_query_reads_the_relations_that_it_names(query: str, rows: list[tuple[int]]) -> None:
    connection = duckdb.connect()
    connection.execute("SET VARIABLE b = 5")
    assert connection.execute(bind_parameters(with_relations(query, {"one": ONE, "two": TWO}))).fetchall() == rows


@pytest.mark.parametrize("query", ["SELECT '/folder/one/file.parquet' AS path", "SELECT 3 AS a -- not one\n"])
def test_a_relation_in_a_text_or_comment_only_is_left_out(query: str) -> None:
    assert with_relations(query, {"one": ONE}) == query


def test_a_relation_may_read_a_table_of_its_own_name() -> None:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE one AS SELECT 1 AS a, 2 AS b")
    bound = with_relations("SELECT * FROM one", {"one": "SELECT a FROM one"})
    assert connection.execute(bound).fetchall() == [(1,)]


def test_parameters_in_comments_texts_and_names_stay() -> None:
    query = """SELECT $a AS "$b", '$c' AS d -- $e isn't one\n, $f AS f"""
    expected = """SELECT getvariable('a') AS "$b", '$c' AS d -- $e isn't one\n, getvariable('f') AS f"""
    assert bind_parameters(query) == expected


def test_on_spark_materialized_expressions_are_queries_of_their_own_that_read_the_relations() -> None:
    query = """
        WITH first AS MATERIALIZED (SELECT a FROM one), plain AS (SELECT a FROM first),
        second AS MATERIALIZED (SELECT a FROM plain)
        SELECT a FROM second JOIN one USING (a)"""
    materialized, rest = translate(with_relations(query, {"one": ONE}))
    assert dict(materialized) == {
        "first": "WITH `one` AS (SELECT 1 AS a) SELECT a FROM one",
        "second": "WITH `one` AS (SELECT 1 AS a), plain AS (SELECT a FROM first) SELECT a FROM plain",
    }
    assert rest == (
        "WITH `one` AS (SELECT 1 AS a), plain AS (SELECT a FROM first) "
        "SELECT * FROM (SELECT a FROM second JOIN one USING (a)) AS q"
    )


def test_on_spark_an_expression_reads_those_before_it() -> None:
    query = "WITH a AS (SELECT 1 AS x), b AS (WITH c AS MATERIALIZED (SELECT x FROM a) SELECT x FROM c) SELECT x FROM b"
    materialized, _ = translate(query)
    assert dict(materialized) == {"c": "WITH a AS (SELECT 1 AS x) SELECT x FROM a"}
