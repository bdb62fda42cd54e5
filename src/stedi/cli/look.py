"""Commands that only look: at tables, at what was found in them, at what was refused."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stedi import __version__
from stedi.aws import ddl as ddl_text
from stedi.cli import render
from stedi.cli.output import output
from stedi.cli.program import ERROR_CONSOLE, OPTIONS, app, as_utf8, opened_warehouse, show_grids
from stedi.errors import UsageError, unknown_name
from stedi.ingest.reasons import explain
from stedi.model.table import Table
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.registry import ALL, BY_NAME

if TYPE_CHECKING:
    from stedi.compute.duckdb.query import QueryResult

# A terminal is for looking; a million rows are for a file.
_MOST_ROWS_SHOWN = 1_000

Format = Literal["table", "csv", "json", "parquet"]
TableName = Annotated[str, typer.Argument(metavar="TABLE", help="name of a table")]
Svg = Annotated[Path | None, typer.Option("--svg", help="also write what the terminal shows as a picture")]


def table_called(name: str) -> Table:
    if name not in BY_NAME:
        raise unknown_name("table", name, BY_NAME)
    return BY_NAME[name]


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="one DuckDB SQL query over the tables by name")],
    form: Annotated[Format, typer.Option("--format", help="how to print the rows")] = "table",
    as_of: Annotated[str | None, typer.Option(help="a finished run, or a time (ISO 8601)")] = None,
    svg: Svg = None,
) -> None:
    """Run SQL on the tables of the newest finished run; it can only read."""
    from stedi.query import output as writer
    from stedi.query.sandbox import query as ask

    if form == "parquet" and sys.stdout.isatty():
        raise UsageError("parquet is not for a terminal; send it to a file: … --format parquet > rows.parquet")
    sql = as_utf8("the query", sql)
    result = ask(OPTIONS.settings, sql, as_of=as_of)
    with output():
        if form == "csv":
            writer.write_csv(result, sys.stdout)
        elif form == "parquet":
            writer.write_parquet(result, sys.stdout.buffer)
        elif form == "json" and not OPTIONS.as_json:
            writer.write_json(result, sys.stdout)
        elif OPTIONS.as_json and svg is None:
            writer.write_columns_and_rows(result, sys.stdout)
        else:
            _show_first_rows(result, svg)


def _show_first_rows(result: "QueryResult", svg: Path | None) -> None:
    rows = result.rows(_MOST_ROWS_SHOWN + 1)
    numbers = [f.name for f in result.schema if str(f.type) in ("int64", "double", "int32")]
    grids = [render.grid("", result.columns, rows[:_MOST_ROWS_SHOWN], numbers=numbers)]
    show_grids(grids, {"columns": result.columns, "rows": rows[:_MOST_ROWS_SHOWN]}, svg, "stedi query")
    if len(rows) > _MOST_ROWS_SHOWN:
        ERROR_CONSOLE.print(f"only the first {_MOST_ROWS_SHOWN:,} rows are shown; --format csv gives all")


@app.command()
def tables() -> None:
    """List the tables: zone, grain, rows."""
    from stedi.catalog import Catalog

    with Catalog(opened_warehouse()) as catalog:
        snapshots = {table.name: catalog.snapshot(table.name) for table in ALL}
    found = []
    for table in ALL:
        snapshot = snapshots[table.name]
        rows = snapshot.rows if snapshot else None
        found.append(
            {
                "table": table.name,
                "zone": table.zone,
                "grain": table.grain,
                "rows": rows,
                "meaning": table.meaning,
            }
        )
    grids = [render.grid("tables", tuple(found[0]), (tuple(row.values()) for row in found), numbers=("rows",))]
    show_grids(grids, {"tables": found})


@app.command()
def show(name: TableName, svg: Svg = None) -> None:
    """Show a table: its columns, grain, key, rules, lineage and a few rows."""
    from stedi.query.sandbox import query as ask

    table = table_called(name)
    sample = ask(OPTIONS.settings, f'SELECT * FROM "{table.name}" LIMIT 8')
    rows = sample.rows()
    columns = [(c.name, c.type, c.personal, c.meaning) for c in table.columns]
    rules = [(r.name, r.level, r.meaning) for r in table.rules]
    used_by = [t.name for t in ALL if table.name in t.built_from]
    facts = [
        ("zone", table.zone),
        ("one row is", table.grain),
        ("key", ", ".join(table.key)),
        ("built from", ", ".join(table.origins)),
        ("feeds", ", ".join(used_by) or "nothing"),
    ]
    grids = [
        render.grid(f"{table.name}: {table.meaning}", ("", " "), facts),
        render.grid("columns", ("column", "type", "personal", "meaning"), columns),
        *([render.grid("rules", ("rule", "level", "meaning"), rules)] if rules else []),
        render.grid("sample", sample.columns, rows),
    ]
    described = {
        "table": table.name,
        "meaning": table.meaning,
        "zone": table.zone,
        "grain": table.grain,
        "key": table.key,
        "inputs": table.built_from,
        "feeds": used_by,
        "columns": [dict(zip(("name", "type", "personal", "meaning"), c, strict=True)) for c in columns],
        "rules": [dict(zip(("name", "level", "meaning"), r, strict=True)) for r in rules],
        "sample": [dict(zip(sample.columns, row, strict=True)) for row in rows],
    }
    show_grids(grids, described, svg, f"stedi show {table.name}")


@app.command()
def history(name: TableName) -> None:
    """List a table's commits, newest first."""
    from stedi.catalog import Catalog

    table = table_called(name)
    with Catalog(opened_warehouse()) as catalog:
        commits = list(catalog.history(table.name))
    rows = [
        {
            "committed_at": s.committed_at.isoformat(timespec="seconds"),
            "run_id": s.metadata.run_id if s.metadata else None,
            "snapshot_id": str(s.id),
            "operation": s.operation,
            "rows": s.rows,
        }
        for s in commits
    ]
    columns = ("committed_at", "run_id", "snapshot_id", "operation", "rows")
    show_grids(
        [render.grid(f"history of {name}", columns, (tuple(r.values()) for r in rows))],
        {"table": name, "commits": rows},
    )


@app.command()
def quality() -> None:
    """Show the alarms of the finished runs, and what the rules found when each table was last refreshed."""
    from stedi.catalog.run_log import read_runs
    from stedi.query.rule_results import latest_results

    results = latest_results(OPTIONS.settings)
    alarms = render.run_alarms(read_runs(opened_warehouse()))
    grids = [*([render.alarms_grid(alarms)] if alarms else []), render.rules_grid(results)]
    show_grids(grids, {"alarms": alarms, "rules": [render.rule_json(r) for r in results]})


@app.command()
def quarantine(
    feed: Annotated[str | None, typer.Option(help=f"only this feed: {', '.join(feed.name for feed in FEEDS)}")] = None,
    replay: Annotated[bool, typer.Option("--replay", help="first read the files concerned again, and refresh")] = False,
) -> None:
    """Count quarantined records by feed, file and reason, with its meaning; list the consents that they put on hold."""
    from stedi import pipeline
    from stedi.query.sandbox import query as ask

    names = [f.name for f in FEEDS]
    if feed is not None and feed not in names:
        raise unknown_name("feed", feed, names)
    done = None
    if replay:
        with ERROR_CONSOLE.status("replaying") as status:
            done = pipeline.run(OPTIONS.settings, replay=[feed] if feed else names, progress=status.update)
    where = f"WHERE feed = '{feed}'" if feed else ""
    found = ask(
        OPTIONS.settings,
        f"SELECT feed, source_file, reason, count(*) AS records, min(source_position) AS first_position "
        f"FROM quarantine {where} GROUP BY ALL ORDER BY ALL",
    )
    columns = (*found.columns, "meaning")
    rows = [dict(zip(columns, (*row, explain(row[2])), strict=True)) for row in found.rows()]
    grids = [
        render.grid("quarantine", columns, (tuple(row.values()) for row in rows), numbers=("records", "first_position"))
    ]
    holds: list[dict[str, object]] = []
    if any(f.decides_consent for f in FEEDS if feed in (None, f.name)):
        # Without the person: the file and the position are enough to correct the record.
        held = ask(
            OPTIONS.settings,
            "SELECT source_file, source_position, reason, held_since, records FROM consent_hold ORDER BY ALL",
        )
        holds = [dict(zip(held.columns, row, strict=True)) for row in held.rows()]
    if holds:
        title = "consent on hold: one row per customer; it ends with a usable record of the customer in a later file"
        numbers = ("source_position", "records")
        grids.append(render.grid(title, held.columns, (tuple(row.values()) for row in holds), numbers=numbers))
    show_grids(grids, {"quarantined": rows, "on_hold": holds}, first=render.first_lines(done) if done else ())
    if done:
        done.raise_alarms()


@app.command()
def ddl(
    name: Annotated[str | None, typer.Argument(metavar="TABLE", help="name of a table; all tables when absent")] = None,
    landing_at: Annotated[str, typer.Option(help="S3 prefix of the landing files")] = ddl_text.LANDING,
    warehouse_at: Annotated[str, typer.Option(help="S3 prefix of the warehouse")] = ddl_text.WAREHOUSE,
    database: Annotated[str, typer.Option(help="Glue database of the tables")] = ddl_text.DATABASE,
) -> None:
    """Print DDL for Athena: of a table, or of the databases and all tables."""
    wanted = ALL if name is None else (table_called(name),)
    landing_at, warehouse_at, database = (
        as_utf8(f"option {option}", text)
        for option, text in (("--landing-at", landing_at), ("--warehouse-at", warehouse_at), ("--database", database))
    )
    made = "\n".join(ddl_text.ddl(table, landing_at, warehouse_at, database) for table in wanted)
    if name is None:
        made = f"{ddl_text.databases_ddl(database)}\n{made}"
    if OPTIONS.as_json:
        show_grids([], {"table": name, "ddl": made})
    else:
        with output():
            print(made, end="")


@app.command()
def version() -> None:
    """Print the program's version."""
    with output():
        print(__version__)
