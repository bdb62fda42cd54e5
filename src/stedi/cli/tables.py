"""Commands for tables: list them, show one, list its commits, print DDL."""

from typing import Annotated

import typer

from stedi.aws import ddl as ddl_text
from stedi.cli.names import complete_table, table_called
from stedi.cli.program import Call, app, as_utf8, command
from stedi.cli.queries import Svg
from stedi.cli.sections import Result, Section, section
from stedi.cli.sections import show as show_result
from stedi.cli.terminal import output
from stedi.cli.text import utc_text
from stedi.tables.registry import ALL

_PANEL = "Look at tables"
_SAMPLE_ROWS = 8
TableName = Annotated[str, typer.Argument(metavar="TABLE", help="name of a table", autocompletion=complete_table)]


@command(app, _PANEL)
def tables(call: Call) -> None:
    """List the tables with zone, grain and number of rows.

    Example: stedi tables
    """
    from stedi.catalog import Catalog

    with Catalog(call.open_warehouse()) as catalog:
        snapshots = {table.name: catalog.snapshot(table.name) for table in ALL}
    rows = [
        {
            "table": table.name,
            "zone": table.zone,
            "grain": table.grain,
            "rows": snapshot.rows if (snapshot := snapshots[table.name]) else None,
            "meaning": table.meaning,
        }
        for table in ALL
    ]
    listed = section("tables", rows, {key: key for key in rows[0]}, numbers=("rows",), optional=("meaning", "zone"))
    show_result(Result([listed], {"tables": rows}), as_json=call.as_json)


@command(app, _PANEL)
def show(call: Call, name: TableName, svg: Svg = None) -> None:
    """Show a table: columns, grain, key, rules, lineage and a few rows.

    Example: stedi show customer_trusted
    """
    from stedi.query.sandbox import query

    table = table_called(name)
    sample = query(call.settings(), f'SELECT * FROM "{table.name}" LIMIT {_SAMPLE_ROWS}')
    rows = sample.rows()
    columns = [{"name": c.name, "type": c.type, "personal": c.personal, "meaning": c.meaning} for c in table.columns]
    rules = [{"name": rule.name, "level": rule.level, "meaning": rule.meaning} for rule in table.rules]
    used_by = [other.name for other in ALL if table.name in other.built_from]
    about = [
        ("zone", table.zone),
        ("one row is", table.grain),
        ("key", ", ".join(table.key)),
        ("built from", ", ".join(table.origins)),
        ("feeds", ", ".join(used_by) or "nothing"),
    ]
    sections = [
        Section(f"{table.name}: {table.meaning}", ("", " "), about),
        section("columns", columns, {"name": "column", "type": "type", "personal": "personal", "meaning": "meaning"}),
        section("rules", rules, {"name": "rule", "level": "level", "meaning": "meaning"}),
        Section("sample", sample.columns, rows, max_records=3, empty="The table has no rows."),
    ]
    described = {
        "table": table.name,
        "meaning": table.meaning,
        "zone": table.zone,
        "grain": table.grain,
        "key": table.key,
        "inputs": table.built_from,
        "feeds": used_by,
        "columns": columns,
        "rules": rules,
        "sample": [dict(zip(sample.columns, row, strict=True)) for row in rows],
    }
    show_result(Result(sections, described), as_json=call.as_json, svg=svg, title=f"stedi show {table.name}")


@command(app, _PANEL)
def history(call: Call, name: TableName) -> None:
    """List a table's commits, newest first.

    Example: stedi history customer_trusted
    """
    from stedi.catalog import Catalog

    table = table_called(name)
    with Catalog(call.open_warehouse()) as catalog:
        commits = [
            {
                "committed_at": snapshot.committed_at.isoformat(timespec="seconds"),
                "run_id": snapshot.metadata.run_id if snapshot.metadata else None,
                "snapshot_id": str(snapshot.id),
                "operation": snapshot.operation,
                "rows": snapshot.rows,
            }
            for snapshot in catalog.history(table.name)
        ]
    headings = {
        "committed_at": "committed at",
        "run_id": "run",
        "snapshot_id": "snapshot",
        "operation": "operation",
        "rows": "rows",
    }
    listed = section(
        f"history of {name}",
        commits,
        headings,
        numbers=("rows",),
        show={"committed at": utc_text},
        empty=f"Table {name} has no commit yet; `stedi run` creates it.",
    )
    show_result(Result([listed], {"table": name, "commits": commits}), as_json=call.as_json)


@command(app, _PANEL)
def ddl(
    call: Call,
    name: Annotated[
        str | None,
        typer.Argument(metavar="TABLE", help="name of a table (default: all tables)", autocompletion=complete_table),
    ] = None,
    landing_at: Annotated[str, typer.Option(help="S3 prefix of the landing files")] = ddl_text.LANDING,
    warehouse_at: Annotated[str, typer.Option(help="S3 prefix of the warehouse")] = ddl_text.WAREHOUSE,
    database: Annotated[str, typer.Option(help="Glue database of the tables")] = ddl_text.DATABASE,
) -> None:
    """Print the DDL for Athena: for one table, or for the databases and all tables.

    Example: stedi ddl customer_trusted --warehouse-at s3://BUCKET/lakehouse
    """
    described = ALL if name is None else (table_called(name),)
    landing_at, warehouse_at, database = (
        as_utf8(f"option {option}", text)
        for option, text in (("--landing-at", landing_at), ("--warehouse-at", warehouse_at), ("--database", database))
    )
    statements = "\n".join(ddl_text.ddl(table, landing_at, warehouse_at, database) for table in described)
    if name is None:
        statements = f"{ddl_text.databases_ddl(database)}\n{statements}"
    if call.as_json:
        show_result(Result([], {"table": name, "ddl": statements}), as_json=True)
    else:
        with output():
            print(statements, end="")
