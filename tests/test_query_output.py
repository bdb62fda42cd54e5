"""What `stedi query` gives a program: any type, any number of rows, and nothing of the data in errors."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stedi import query_output
from stedi.ddl import databases_ddl, ddl
from stedi.engines.embedded import QueryResult
from stedi.errors import QueryError
from stedi.query import query
from stedi.tables import ALL, BY_NAME
from tests.conftest import Lake
from tests.test_pipeline import small

ODD = (
    "SELECT 1 AS a, 2 AS a, [1, NULL] AS list, {'x': 1.5} AS nested, '\\xC3\\xA9'::BLOB AS bytes, "
    "1::HUGEINT AS huge, INTERVAL 1 DAY AS span, 'nan'::DOUBLE AS nan, TIMESTAMPTZ '2026-01-02 03:04:05+00' AS moment, "
    "DATE '2026-01-02' AS day, "
    "1.50::DECIMAL(9, 2) AS money, true AS truth, NULL AS nothing, 'a,\"b' AS text"
)


@pytest.fixture
def ask(lake: Lake) -> Any:
    small(lake)
    lake.run()

    def run(sql: str) -> QueryResult:
        return query(lake.settings, sql)

    return run


def test_csv_holds_every_type(ask: Any) -> None:
    out = io.StringIO()
    query_output.write_csv(ask(ODD), out)
    header, row = csv.reader(io.StringIO(out.getvalue()))
    assert header[:3] == ["a", "a", "list"]
    assert row[:6] == ["1", "2", "[1, null]", '{"x": 1.5}', "w6k=", "1"]
    assert row[8:] == ["2026-01-02 03:04:05.000000Z", "2026-01-02", "1.50", "true", "", 'a,"b']


def test_json_is_valid_also_for_what_is_no_number(ask: Any) -> None:
    out = io.StringIO()
    query_output.write_json(ask(ODD), out)
    [row] = json.loads(out.getvalue(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (row["nan"], row["nested"], row["moment"]) == (None, {"x": 1.5}, "2026-01-02T03:04:05+00:00")


def test_columns_and_rows_keep_repeated_names_apart(ask: Any) -> None:
    out = io.StringIO()
    query_output.write_columns_and_rows(ask("SELECT 1 AS a, 2 AS a UNION ALL SELECT 3, 4 ORDER BY ALL"), out)
    assert json.loads(out.getvalue()) == {"columns": ["a", "a"], "rows": [[1, 2], [3, 4]]}


def test_parquet_can_be_read_again(ask: Any) -> None:
    out = io.BytesIO()
    query_output.write_parquet(ask(ODD), out)
    read = pq.read_table(out)
    assert read.column_names[:2] == ["a", "a_1"]
    assert read.num_rows == 1


@pytest.mark.parametrize("write", [query_output.write_csv, query_output.write_json, query_output.write_columns_and_rows])
def test_no_rows_are_no_trouble(ask: Any, write: Any) -> None:
    out = io.StringIO()
    write(ask("SELECT * FROM customer_trusted WHERE false"), out)
    assert out.getvalue()


def test_an_error_on_the_way_names_no_value(ask: Any) -> None:
    with pytest.raises(QueryError) as caught:
        ask("SELECT email::INTEGER FROM customer_trusted").rows()
    assert "a@x" not in str(caught.value)
    assert "Conversion" in str(caught.value)


def test_a_terminal_gets_the_first_rows_and_is_told_so(ask: Any, lake: Lake) -> None:
    program = Path(sys.executable).with_name("stedi")
    command = [str(program), "--warehouse", str(lake.settings.warehouse), "query", "SELECT i FROM range(5000) AS r(i)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "999" in done.stdout
    assert "4999" not in done.stdout.replace(",", "")
    assert "only the first 1,000 rows" in done.stderr
    whole = subprocess.run([*command, "--format", "csv"], capture_output=True, text=True, check=True)
    assert len(whole.stdout.splitlines()) == 5001


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/hosts')",
        "SELECT * FROM glob('/*')",
        "SELECT getenv('HOME')",
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
def test_nothing_outside_the_tables_can_be_reached(ask: Any, sql: str) -> None:
    with pytest.raises(QueryError):
        ask(sql).rows()


def test_a_landing_table_has_a_raw_table_of_its_name_in_another_database() -> None:
    text = ddl(BY_NAME["customer_landing"], "s3://bucket")
    assert "CREATE EXTERNAL TABLE IF NOT EXISTS `stedi_raw`.`customer_landing` (" in text
    assert "CREATE TABLE IF NOT EXISTS `stedi`.`customer_landing` (" in text
    assert "LOCATION 's3://bucket/landing/customer/'" in text
    assert "`sharewithresearchasofdate` bigint" in text
    assert all(f"`{database}`" in databases_ddl() for database in ("stedi", "stedi_raw"))


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_ddl_has_every_column_with_its_meaning_and_the_partition(table: Any) -> None:
    text = ddl(table)
    for column in table.columns:
        meaning = column.meaning.replace("'", "''")
        assert f"`{column.name.lower()}` " in text
        assert f"COMMENT '{meaning}'" in text
    assert ("PARTITIONED BY (truncate(86400000, " in text) == bool(table.day)
    assert "'table_type' = 'ICEBERG'" in text
