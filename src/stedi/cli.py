"""The command line: arguments, one call into the library, a report."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid

from stedi import __version__, report
from stedi.config import Settings, load_settings
from stedi.errors import RuleError, StediError, UsageError, WarehouseError, no_such
from stedi.table import Table
from stedi.tables import ALL, BY_NAME

if TYPE_CHECKING:
    from stedi.engines.embedded.query import QueryResult

app = typer.Typer(
    help="A consent-first sensor lakehouse: landing files to curated Iceberg tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_error_console = Console(stderr=True)
_PIPE_WIDTH = 200
# A terminal is for looking; a million rows are for a file.
_MOST_ROWS_SHOWN = 1_000


class Options:
    """The global options of one call."""

    settings: Settings
    as_json: bool = False
    trace: bool = False


class Format(StrEnum):
    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


class PolicyName(StrEnum):
    customer = "customer"
    reading = "reading"


class EngineName(StrEnum):
    embedded = "embedded"
    spark = "spark"


_options = Options()
_file_options: dict[str, Any] = {}

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="name of a table")]
Svg = Annotated[Path | None, typer.Option("--svg", help="also write what the terminal shows as a picture")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _globals(
    landing: Annotated[str | None, typer.Option(help="folder with one folder a feed [default: ./landing]")] = None,
    warehouse: Annotated[Path | None, typer.Option(help="folder of the tables [default: ./lakehouse]")] = None,
    config: Annotated[Path | None, typer.Option(help="settings file [default: ./stedi.toml]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on standard output")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="show where an error came from")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the program's version")
    ] = False,
) -> None:
    _options.as_json = as_json
    _options.trace = trace
    _file_options.update(config=config, landing=landing, warehouse=warehouse)
    _options.settings = _settings()


def _settings(**more: object) -> Settings:
    options = {key: value for key, value in _file_options.items() if key != "config"}
    return load_settings(_file_options["config"], options | more)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _console() -> Console:
    # A file or a pipe has no width; narrow columns would cut names in two there.
    return _Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)


@contextmanager
def _output() -> Iterator[None]:
    """Write to standard output; where its reader left, as `head` does, the rest goes nowhere."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show(grids: list[Grid], as_json: object, svg: Path | None = None, title: str = "stedi") -> None:
    if svg is not None:
        report.write_picture(grids, svg, title)
    with _output():
        if _options.as_json:
            report.print_json(as_json)
            return
        for each in grids:
            _console().print(each)


def _table(name: str) -> Table:
    if name not in BY_NAME:
        raise no_such("table", name, BY_NAME)
    return BY_NAME[name]


@app.command()
def run(
    policy: Annotated[PolicyName | None, typer.Option(help="how far consent reaches")] = None,
    select: Annotated[list[str] | None, typer.Option(help="only this table and what it is built from")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be done, write nothing")] = False,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="write every derived table anew from the landing tables")
    ] = False,
    reingest: Annotated[bool, typer.Option("--reingest", help="read all landing files anew")] = False,
    engine: Annotated[EngineName | None, typer.Option(help="what computes")] = None,
) -> None:
    """Ingest what is new and bring every table up to date."""
    from stedi import pipeline

    settings = _settings(policy=policy.value if policy else None, engine=engine.value if engine else None)
    with _error_console.status("starting") as status:
        done = pipeline.run(
            settings,
            select=select or (),
            dry_run=dry_run,
            full_refresh=full_refresh,
            reingest=reingest,
            progress=status.update,
        )
    _show(report.run_grids(done), report.run_json(done))
    if done.failed:
        first = done.failed[0]
        raise RuleError(
            f"{len(done.failed)} error-level rule(s) failed, first {first.table}.{first.rule} for {first.failed:,} rows; "
            "the tables concerned keep their last good state; see `stedi quality`"
        )


@app.command()
def verify() -> None:
    """Compare every table with a full rebuild and with its promises; exit code 1 on a difference."""
    from stedi.verify import verify as compare

    with _error_console.status("verifying") as status:
        findings = compare(_options.settings, progress=status.update)
    _show([report.findings_grid(findings)], {"findings": [report.finding_json(finding) for finding in findings]})
    wrong = [finding for finding in findings if not finding.holds]
    if wrong:
        raise WarehouseError(
            f"{len(wrong)} of {len(findings)} checks failed, first {wrong[0].table} for {wrong[0].wrong:,} rows "
            f"({wrong[0].question}); `stedi run --full-refresh` rebuilds the tables"
        )


@app.command()
def maintain() -> None:
    """Merge small files, forget old runs, and remove the files that nothing names any more."""
    from stedi.maintain import maintain as keep_up

    with _error_console.status("maintaining") as status:
        done = keep_up(_options.settings, progress=status.update)
    _show([report.upkeep_grid(done)], report.upkeep_json(done))


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="folder to write, new or empty")],
    customers: Annotated[int, typer.Option(help="how many people")] = 300,
    days: Annotated[int, typer.Option(help="how many days are recorded")] = 3,
    seed: Annotated[int, typer.Option(help="what all chance follows from")] = 1,
    readings: Annotated[int | None, typer.Option(help="about how many accelerometer readings")] = None,
    clean: Annotated[bool, typer.Option("--clean", help="leave out what is wrong with the files' format")] = False,
) -> None:
    """Write landing files with all the defects of the real feeds, and the truth behind them."""
    from stedi.simulate import simulate as write

    with _error_console.status("simulating") as status:
        made = write(
            out,
            customers=customers,
            days=days,
            seed=seed,
            readings=readings,
            clean=clean,
            progress=status.update,
        )
    counts = {
        "customer": made.customers,
        "accelerometer": made.accelerometer,
        "step_trainer": made.step_trainer,
    }
    _show(
        [report.grid(f"simulated in {out}", ("feed", "records"), counts.items(), numbers=("records",))],
        counts,
    )


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="one DuckDB SQL query over the tables by name")],
    output: Annotated[Format, typer.Option("--format", help="how to print the rows")] = Format.table,
    as_of: Annotated[str | None, typer.Option(help="a finished run, or a time (ISO 8601)")] = None,
    svg: Svg = None,
) -> None:
    """Run SQL on the tables of the newest finished run; it can only read."""
    from stedi import query_output
    from stedi.query import query as ask

    if output is Format.parquet and sys.stdout.isatty():
        raise UsageError("parquet is not for a terminal; send it to a file: … --format parquet > rows.parquet")
    result = ask(_options.settings, sql, as_of=as_of)
    with _output():
        if output is Format.csv:
            query_output.write_csv(result, sys.stdout)
        elif output is Format.parquet:
            query_output.write_parquet(result, sys.stdout.buffer)
        elif output is Format.json and not _options.as_json:
            query_output.write_json(result, sys.stdout)
        elif _options.as_json and svg is None:
            query_output.write_columns_and_rows(result, sys.stdout)
        else:
            _show_first_rows(result, svg)


def _show_first_rows(result: "QueryResult", svg: Path | None) -> None:
    rows = result.rows(_MOST_ROWS_SHOWN + 1)
    numbers = [f.name for f in result.schema if str(f.type) in ("int64", "double", "int32")]
    grids = [report.grid("", result.columns, rows[:_MOST_ROWS_SHOWN], numbers=numbers)]
    _show(grids, {"columns": result.columns, "rows": rows[:_MOST_ROWS_SHOWN]}, svg, "stedi query")
    if len(rows) > _MOST_ROWS_SHOWN:
        _error_console.print(f"only the first {_MOST_ROWS_SHOWN:,} rows are shown; --format csv gives all")


@app.command()
def tables() -> None:
    """List the tables: zone, grain, rows."""
    from stedi.catalog import Catalog

    with Catalog(_options.settings.warehouse) as catalog:
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
    grids = [report.grid("tables", tuple(found[0]), (tuple(row.values()) for row in found), numbers=("rows",))]
    _show(grids, {"tables": found})


@app.command()
def show(name: TableName, svg: Svg = None) -> None:
    """Show a table: its columns, grain, key, rules, lineage and a few rows."""
    from stedi.query import query as ask

    table = _table(name)
    sample = ask(_options.settings, f'SELECT * FROM "{table.name}" LIMIT 8')
    rows = sample.rows()
    columns = [(c.name, c.type, c.personal, c.meaning) for c in table.columns]
    rules = [(r.name, r.level, r.meaning) for r in table.rules]
    used_by = [t.name for t in ALL if table.name in t.inputs]
    facts = [
        ("zone", table.zone),
        ("one row is", table.grain),
        ("key", ", ".join(table.key)),
        ("built from", ", ".join(table.origins)),
        ("feeds", ", ".join(used_by) or "nothing"),
    ]
    grids = [
        report.grid(f"{table.name}: {table.meaning}", ("", " "), facts),
        report.grid("columns", ("column", "type", "personal", "meaning"), columns),
        *([report.grid("rules", ("rule", "level", "meaning"), rules)] if rules else []),
        report.grid("sample", sample.columns, rows),
    ]
    described = {
        "table": table.name,
        "meaning": table.meaning,
        "zone": table.zone,
        "grain": table.grain,
        "key": table.key,
        "inputs": table.inputs,
        "feeds": used_by,
        "columns": [dict(zip(("name", "type", "personal", "meaning"), c, strict=True)) for c in columns],
        "rules": [dict(zip(("name", "level", "meaning"), r, strict=True)) for r in rules],
        "sample": [dict(zip(sample.columns, row, strict=True)) for row in rows],
    }
    _show(grids, described, svg, f"stedi show {table.name}")


@app.command()
def history(name: TableName) -> None:
    """List a table's commits, newest first."""
    from stedi.catalog import Catalog

    table = _table(name)
    with Catalog(_options.settings.warehouse) as catalog:
        commits = list(catalog.history(table.name))
    rows = [
        {
            "committed_at": s.committed_at.isoformat(timespec="seconds"),
            "run_id": s.reflects.get("run_id"),
            "snapshot_id": str(s.id),
            "operation": s.operation,
            "rows": s.rows,
        }
        for s in commits
    ]
    columns = ("committed_at", "run_id", "snapshot_id", "operation", "rows")
    _show(
        [report.grid(f"history of {name}", columns, (tuple(r.values()) for r in rows))],
        {"table": name, "commits": rows},
    )


@app.command()
def quality() -> None:
    """Show what the rules found when each table was last refreshed."""
    from stedi.rule_results import latest_results

    results = latest_results(_options.settings)
    _show([report.rules_grid(results)], {"rules": [report.rule_json(r) for r in results]})


@app.command()
def quarantine(
    feed: Annotated[str | None, typer.Option(help="only this feed: customer, accelerometer or step_trainer")] = None,
    replay: Annotated[bool, typer.Option("--replay", help="first read the files concerned again, and refresh")] = False,
) -> None:
    """Count what was quarantined, by feed, file and reason."""
    from stedi import pipeline
    from stedi.landing import FEEDS
    from stedi.query import query as ask

    names = [f.name for f in FEEDS]
    if feed is not None and feed not in names:
        raise no_such("feed", feed, names)
    if replay:
        with _error_console.status("replaying") as status:
            pipeline.run(_options.settings, replay=[feed] if feed else names, progress=status.update)
    where = f"WHERE feed = '{feed}'" if feed else ""
    found = ask(
        _options.settings,
        f"SELECT feed, source_file, reason, count(*) AS records, min(source_position) AS first_position "
        f"FROM quarantine {where} GROUP BY ALL ORDER BY ALL",
    )
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows()]
    grids = [
        report.grid(
            "quarantine", found.columns, (tuple(row.values()) for row in rows), numbers=("records", "first_position")
        )
    ]
    _show(grids, {"quarantined": rows})


@app.command()
def ddl(
    name: Annotated[str | None, typer.Argument(metavar="TABLE", help="name of a table; all tables when absent")] = None,
    location: Annotated[str, typer.Option(help="where the data lies on S3")] = "s3://YOUR-BUCKET",
) -> None:
    """Print DDL for Athena: of a table, or of the databases and all tables."""
    from stedi.ddl import databases_ddl
    from stedi.ddl import ddl as text

    if name is None:
        made = "\n".join((databases_ddl(), *(text(table, location) for table in ALL)))
    else:
        made = text(_table(name), location)
    if _options.as_json:
        _show([], {"table": name, "ddl": made})
    else:
        with _output():
            print(made, end="")


@app.command()
def demo(folder: Annotated[Path, typer.Argument(help="folder of the demo")] = Path("demo")) -> None:
    """Simulate, run and show, in a folder of its own."""
    import shutil

    from stedi import pipeline
    from stedi.query import query as ask
    from stedi.simulate import simulate as write

    marker = folder / ".stedi-demo"
    try:
        if folder.exists() and any(folder.iterdir()) and not marker.exists():
            raise UsageError(f"folder {folder} holds something else; name another for the demo")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        marker.touch()
    except OSError as error:
        raise UsageError(f"folder {folder} can't be written ({error.strerror}); name another for the demo") from error
    settings = _settings(landing=str(folder / "landing"), warehouse=folder / "lakehouse")
    with _error_console.status("simulating") as status:
        write(folder / "landing", customers=300, days=3, seed=1, progress=status.update)
        done = pipeline.run(settings, progress=status.update)
    sample = ask(settings, "SELECT * FROM machine_learning_curated LIMIT 5")
    grids = [*report.run_grids(done), report.grid("machine_learning_curated", sample.columns, sample.rows())]
    _show(grids, report.run_json(done))
    _error_console.print(
        f'Next: stedi --warehouse {settings.warehouse} query "SELECT status, count(*) FROM device_owner GROUP BY ALL"'
    )


@app.command()
def version() -> None:
    """Print the program's version."""
    print(__version__)


# What shells give for a program that Ctrl-C ended, and what typer turns it into.
_INTERRUPTED = 130


def main() -> None:
    """Run the program; deliberate errors become one line and an exit code."""
    try:
        app()
    except StediError as error:
        if _options.trace:
            traceback.print_exc()
        print(f"stedi: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != _INTERRUPTED:
            raise
        print("stedi: interrupted; the tables are as they were, or whole: run again to go on", file=sys.stderr)
        raise SystemExit(_INTERRUPTED) from None
    except Exception as error:
        if _options.trace:
            raise
        # Its text may quote data, so only its kind is named.
        print(f"stedi: unexpected {type(error).__name__}; run with --trace to see where", file=sys.stderr)
        raise SystemExit(1) from None
