"""The command that runs SQL on the tables."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stedi.cli.program import Call, app, as_utf8, command
from stedi.cli.sections import Result, Section, show
from stedi.cli.terminal import note, output
from stedi.errors import UsageError

if TYPE_CHECKING:
    from stedi.compute.duckdb.query import QueryResult

# For more rows, a file is better than a terminal.
MAX_ROWS_SHOWN = 1_000
_NUMBERS = ("int64", "int32", "double")

Format = Literal["table", "csv", "json", "parquet"]
Svg = Annotated[Path | None, typer.Option("--svg", help="also write the tables as a picture to this file")]


@command(app, "Look at tables")
def query(
    call: Call,
    sql: Annotated[str, typer.Argument(help="one DuckDB SQL query over the tables by name")],
    form: Annotated[Format, typer.Option("--format", help="format of the rows")] = "table",
    as_of: Annotated[str | None, typer.Option(help="read the tables as of a finished run (ID) or a time (ISO 8601)")] = None,
    svg: Svg = None,
) -> None:
    """Run SQL on the tables of the newest finished run, read-only.

    Example: stedi query "SELECT status, count(*) FROM device_owner GROUP BY ALL"
    """
    from stedi.query import output as writer
    from stedi.query.sandbox import query as run_query

    if form == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet can't be shown on a terminal; write it to a file: … --format parquet > rows.parquet")
    result = run_query(call.settings(), as_utf8("the query", sql), as_of=as_of)
    with output():
        if form == "csv":
            writer.write_csv(result, sys.stdout)
        elif form == "parquet":
            writer.write_parquet(result, sys.stdout.buffer)
        elif form == "json" and not call.as_json:
            writer.write_json(result, sys.stdout)
        elif call.as_json and svg is None:
            writer.write_columns_and_rows(result, sys.stdout)
        else:
            _show_first_rows(result, svg, as_json=call.as_json)


def _show_first_rows(result: "QueryResult", svg: Path | None, *, as_json: bool) -> None:
    rows = result.rows(MAX_ROWS_SHOWN + 1)
    shown = rows[:MAX_ROWS_SHOWN]
    numbers = [field.name for field in result.schema if str(field.type) in _NUMBERS]
    sections = [Section("", result.columns, shown, numbers, empty=f"No row. Columns: {', '.join(result.columns)}.")]
    show(Result(sections, {"columns": result.columns, "rows": shown}), as_json=as_json, svg=svg, title="stedi query")
    if len(rows) > len(shown):
        note(f"only the first {MAX_ROWS_SHOWN:,} rows are shown; --format csv gives all")
