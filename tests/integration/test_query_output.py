"""Results of `stedi query` in each format, the sandbox, and errors without values of the tables."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stedi.compute.duckdb.query import QueryResult
from stedi.errors import QueryError
from stedi.query import output
from stedi.query.sandbox import query
from tests.support.lake import Lake, small

EVERY_TYPE = (
    "SELECT 1 AS a, 2 AS a, [1, NULL] AS list, {'x': 1.5} AS nested, '\\xC3\\xA9'::BLOB AS bytes, "
    "1::HUGEINT AS huge, INTERVAL 1 DAY AS span, 'nan'::DOUBLE AS nan, TIMESTAMPTZ '2026-01-02 03:04:05+00' AS moment, "
    "DATE '2026-01-02' AS day, "
    "1.50::DECIMAL(9, 2) AS money, true AS truth, NULL AS nothing, 'a,\"b' AS text"
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake for all tests: none changes it."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    small(lake)
    lake.run()
    return lake


@pytest.fixture
def run_query(lake: Lake) -> Any:
    """Runs a query on the lake."""

    def run(sql: str) -> QueryResult:
        return query(lake.settings, sql)

    return run


def test_csv_has_every_type(run_query: Any) -> None:
    out = io.StringIO()
    output.write_csv(run_query(EVERY_TYPE), out)
    header, row = csv.reader(io.StringIO(out.getvalue()))
    assert header[:3] == ["a", "a", "list"]
    assert row[:6] == ["1", "2", "[1, null]", '{"x": 1.5}', "w6k=", "1"]
    assert row[8:] == ["2026-01-02 03:04:05.000000Z", "2026-01-02", "1.50", "true", "", 'a,"b']


def test_json_is_valid_with_nan(run_query: Any) -> None:
    out = io.StringIO()
    output.write_json(run_query(EVERY_TYPE), out)
    [row] = json.loads(out.getvalue(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (row["nan"], row["nested"], row["moment"]) == (None, {"x": 1.5}, "2026-01-02T03:04:05+00:00")


def test_columns_and_rows_keep_columns_with_the_same_name(run_query: Any) -> None:
    out = io.StringIO()
    output.write_columns_and_rows(run_query("SELECT 1 AS a, 2 AS a UNION ALL SELECT 3, 4 ORDER BY ALL"), out)
    assert json.loads(out.getvalue()) == {"columns": ["a", "a"], "rows": [[1, 2], [3, 4]]}


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455"),
        ("'1010'::BIT", "1010"),
        ("INTERVAL '1 month 2 days'", "1 month 2 days"),
        ("union_value(k := 5)", "5"),
        ("TIMETZ '10:00:00+02'", "10:00:00+02"),
        ("'{\"a\":NaN}'::JSON", '{"a":NaN}'),
    ],
)
def test_types_that_arrow_lacks_are_returned_as_text(run_query: Any, sql: str, text: str) -> None:
    assert run_query(f"SELECT {sql}").rows() == [(text,)]
    out = io.BytesIO()
    output.write_parquet(run_query(f"SELECT {sql} AS v"), out)
    assert pq.read_table(out).column("v").to_pylist() == [text]


@pytest.mark.parametrize("moment", ["TIMESTAMPTZ 'infinity'", "DATE '-infinity'", "TIMESTAMP '294246-01-01'"])
def test_times_beyond_pythons_years_are_text(run_query: Any, moment: str) -> None:
    [(value,)] = run_query(f"SELECT {moment}").rows()
    assert isinstance(value, str)
    for write in (output.write_csv, output.write_json):
        out = io.StringIO()
        write(run_query(f"SELECT {moment} AS v"), out)
        assert out.getvalue().strip()
    with pytest.raises(QueryError, match="cast it to VARCHAR"):
        run_query(f"SELECT [{moment}]").rows()


def test_an_error_after_many_rows_is_raised(run_query: Any) -> None:
    with pytest.raises(QueryError, match="Conversion Error") as caught:
        run_query("SELECT (CASE WHEN i = 999999 THEN 'a@x' ELSE i::VARCHAR END)::BIGINT FROM range(1000000) AS r(i)").rows()
    assert "a@x" not in str(caught.value)


def test_parquet_can_be_read_again(run_query: Any) -> None:
    out = io.BytesIO()
    output.write_parquet(run_query(EVERY_TYPE), out)
    read = pq.read_table(out)
    assert read.column_names[:2] == ["a", "a_1"]
    assert read.num_rows == 1


@pytest.mark.parametrize("write", [output.write_csv, output.write_json, output.write_columns_and_rows])
def test_an_empty_result_is_written(run_query: Any, write: Any) -> None:
    out = io.StringIO()
    write(run_query("SELECT * FROM customer_trusted WHERE false"), out)
    assert out.getvalue()


@pytest.mark.parametrize(
    "expression",
    [
        "email::INTEGER",
        "('o''brien and ' || email)::INTEGER",
        "strptime(email, '%Y')",
        "timezone(email, now()::TIMESTAMP)",
        "json_extract(email, '$.a')",
        "regexp_matches('a', '[' || email)",
    ],
)
def test_an_error_while_reading_contains_no_value(run_query: Any, expression: str) -> None:
    with pytest.raises(QueryError) as caught:
        run_query(f"SELECT {expression} FROM customer_trusted").rows()
    assert "a@x" not in str(caught.value)
    assert "brien" not in str(caught.value)
    assert "Error: " in str(caught.value)


def test_a_terminal_shows_the_first_rows_and_a_note(run_query: Any, lake: Lake) -> None:
    program = Path(sys.executable).with_name("stedi")
    command = [str(program), "--warehouse", str(lake.warehouse), "query", "SELECT i FROM range(5000) AS r(i)"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "999" in shown.stdout
    assert "4999" not in shown.stdout.replace(",", "")
    assert "only the first 1,000 rows" in shown.stderr
    whole = subprocess.run([*command, "--format", "csv"], capture_output=True, text=True, check=True)
    assert len(whole.stdout.splitlines()) == 5001


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/hosts')",
        "SELECT * FROM glob('/*')",
        "SELECT getenv('HOME')",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM read_text('pseudonym.key')",
        "FROM read_blob('/etc/hosts')",
        "FROM '/etc/hosts'",
        "SELECT * FROM sniff_csv('/etc/hosts')",
        "SELECT * FROM query('FROM read_text(''/etc/hosts'')')",
        "SELECT * FROM query_table('/etc/hosts')",
        "SELECT * FROM sqlite_scan('catalog.db', 'iceberg_tables')",
        "SELECT * FROM read_csv('https://example.org/x.csv')",
        "SELECT * FROM enable_logging()",
        "SELECT * FROM enable_profiling()",
        "FROM sql",
        "COPY customer_trusted TO 'stolen.csv'",
        "-- a\nCOPY (SELECT 1) TO 'stolen.csv' /* b */",
        "/* a */ EXPLAIN ANALYZE COPY (SELECT 1) TO 'stolen.csv'",
        "EXPLAIN /* a */ ANALYZE COPY (SELECT 1) TO 'stolen.csv'",
        "EXPLAIN ANALYZE EXPLAIN ANALYZE COPY (SELECT 1) TO 'stolen.csv'",
        "SELECT * FROM query('COPY (SELECT 1) TO ''stolen.csv''')",
        "ATTACH ':memory:' AS other",
        "CREATE OR REPLACE VIEW customer_trusted AS SELECT 1",
        "CREATE SECRET s (TYPE s3)",
        "INSERT INTO customer_trusted SELECT * FROM customer_trusted",
        "DROP VIEW customer_trusted",
        "SET threads = 1",
        "RESET allowed_paths",
        "SET VARIABLE x = 1",
        "PREPARE p AS SELECT 1",
        "CALL duckdb_settings()",
        "BEGIN",
        "PIVOT customer_trusted ON email USING count(*)",
        "-- nothing",
        ";;",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "/* a */ DELETE FROM customer_trusted",
        "SELECT 1; SELECT 2",
        "EXPORT DATABASE 'x'",
        "WITH gone AS (DELETE FROM customer_trusted RETURNING *) SELECT * FROM gone",
    ],
)
def test_nothing_outside_the_tables_can_be_reached(
    run_query: Any, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(QueryError):
        run_query(sql).rows()
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "/* a */ SELECT 1 -- b",
        "SELECT 1;",
        ";SELECT 1",
        "-- a\nVALUES (1)",
        "FROM range(1, 2)",
        "WITH x AS (SELECT 1) FROM x",
    ],
)
def test_comments_and_semicolons_around_a_query_are_allowed(run_query: Any, sql: str) -> None:
    assert run_query(sql).rows() == [(1,)]


def test_a_query_spills_to_a_temporary_folder_that_is_deleted(
    run_query: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    [(folder,)] = run_query("SELECT current_setting('temp_directory')").rows()
    assert Path(folder).parent == temporary
    with pytest.raises(QueryError):
        run_query("COPY (SELECT 1) TO 'stolen.csv'")
    with pytest.raises(QueryError):
        run_query("SELECT * FROM nothing")
    assert list(temporary.iterdir()) == []
