"""Commands of a deployment on AWS: make it, run it, ask it, remove it."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table as Grid

from stedi.cli import render
from stedi.cli.output import output
from stedi.cli.program import ERROR_CONSOLE, OPTIONS, app, as_utf8, refuse_bytes, show_grids
from stedi.errors import UsageError

if TYPE_CHECKING:
    from stedi.aws.executions import JobState
    from stedi.aws.stacks import Change

aws = typer.Typer(help="Deploy on AWS, run there, and ask Athena.", no_args_is_help=True)
app.add_typer(aws, name="aws")

_MOST_ROWS_SHOWN = 1_000
_NUMBERS = ("bigint", "integer", "double")

Stack = Annotated[str, typer.Option("--stack", help="name of the stack")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="a parameter of the deployment; see docs/aws.md for all of them"),
]


def _parameters(given: list[str] | None) -> dict[str, str]:
    parameters = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text!r} gives no value; write NAME=VALUE, such as --set budget_usd=100")
        if name == "stack":
            raise UsageError("the stack's name is given with --stack, for every command")
        parameters[name] = value
    return parameters


@aws.command()
def synth(
    out: Annotated[Path, typer.Argument(help="folder for the templates")] = Path("cdk.out"),
    parameters: Parameters = None,
    stack: Stack = "stedi",
) -> None:
    """Write the CloudFormation templates, without asking AWS anything."""
    from stedi.aws.parameters import load_parameters
    from stedi.aws.templates import synthesise

    refuse_bytes(out)
    deployment = load_parameters({"stack": stack, **_parameters(parameters)})
    with ERROR_CONSOLE.status("making templates"):
        templates = synthesise(deployment, out)
    rows = [(template.name, template.stat().st_size) for template in templates]
    show_grids(
        [render.grid(f"templates in {out}", ("template", "bytes"), rows, numbers=("bytes",))],
        {"folder": str(out), "templates": [name for name, _ in rows]},
    )


@aws.command()
def deploy(
    parameters: Parameters = None,
    administrator: Annotated[
        str | None, typer.Option(help="ARN of who administers Lake Formation [default: as before, at first who asks]")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="make the changes, those of roles too, without asking")] = False,
    stack: Stack = "stedi",
) -> None:
    """Make the deployment or change it; every change is shown first. Parameters that are not given stay as they are."""
    from stedi.aws.deploy import deploy as put
    from stedi.aws.deploy import deployed_parameters
    from stedi.aws.parameters import load_parameters

    if not yes and not sys.stdin.isatty():
        raise UsageError("nobody is here to confirm the changes; look at them with `stedi aws synth`, then add --yes")
    given = {"stack": stack, **_parameters(parameters)}
    load_parameters(given)
    with ERROR_CONSOLE.status("starting") as status:

        def confirm(change: "Change") -> bool:
            status.stop()
            _show_change(change)
            agreed = yes or typer.confirm(f"Change stack {change.stack}?", err=True)
            status.start()
            return agreed

        deployment = load_parameters(deployed_parameters(stack) | given)
        done = put(deployment, administrator=administrator, confirm=confirm, progress=status.update)
    grids = [
        render.grid("changed", ("stack", "resources"), done.changed, numbers=("resources",)),
        render.grid("deployed", ("what", "name"), sorted(done.outputs.items())),
    ]
    show_grids(grids, {"changed": dict(done.changed), "outputs": done.outputs})
    ERROR_CONSOLE.print(
        f"Next: put landing files into s3://{done.outputs['LandingBucket']}/, then `stedi aws run --wait`", soft_wrap=True
    )


def _show_change(change: "Change") -> None:
    columns = ("action", "type", "name")
    ERROR_CONSOLE.print(render.grid(f"stack {change.stack}: {len(change.resources)} changes", columns, change.resources))
    roles = sum(kind.startswith("AWS::IAM::") for _, kind, _ in change.resources)
    if roles:
        ERROR_CONSOLE.print(f"{roles} of them change who may do what (AWS::IAM).")


@aws.command()
def run(
    wait: Annotated[bool, typer.Option("--wait", help="wait for the run to end, and show where it is")] = False,
    stack: Stack = "stedi",
) -> None:
    """Start a run; while another is at work it waits for its turn."""
    from stedi.aws import executions, stacks

    arn = executions.start(stacks.outputs(stack)["StateMachine"])
    name = arn.rpartition(":")[2]
    if not wait:
        show_grids([render.grid("run started", ("run",), [(name,)])], {"run": name, "status": "RUNNING"})
        ERROR_CONSOLE.print("`stedi aws status` shows how it goes")
        return
    with ERROR_CONSOLE.status(f"run {name}") as status:
        done = executions.wait(arn, status.update)
        jobs = executions.jobs_of(arn)
    show_grids([_jobs_grid(name, jobs)], {"run": name, "status": done.status, "jobs": [_job_json(job) for job in jobs]})
    if not any(job.state == "done" for job in jobs):
        ERROR_CONSOLE.print("it left its work to another run that waits; see `stedi aws status`")


@aws.command()
def status(
    last: Annotated[int, typer.Option(min=1, max=100, help="how many runs to list")] = 5,
    stack: Stack = "stedi",
) -> None:
    """List the last runs, and every job of the newest."""
    from stedi.aws import executions, stacks

    found = executions.last_runs(stacks.outputs(stack)["StateMachine"], last)
    if not found:
        show_grids([], {"runs": [], "jobs": []})
        ERROR_CONSOLE.print(f"stack {stack} has not run yet; `stedi aws run` starts it")
        return
    rows = [(run.name, run.status, _moment(run.started), _moment(run.ended)) for run in found]
    jobs = executions.jobs_of(found[0].arn)
    grids = [render.grid("runs", ("run", "status", "started", "ended"), rows), _jobs_grid(found[0].name, jobs)]
    show_grids(
        grids,
        {
            "runs": [dict(zip(("run", "status", "started", "ended"), row, strict=True)) for row in rows],
            "jobs": [_job_json(job) for job in jobs],
        },
    )


def _jobs_grid(name: str, jobs: "list[JobState]") -> Grid:
    rows = [(job.job, job.state, job.attempts or None, _moment(job.started), _moment(job.ended)) for job in jobs]
    return render.grid(f"jobs of run {name}", ("job", "state", "attempts", "started", "ended"), rows, numbers=("attempts",))


def _job_json(job: "JobState") -> dict[str, object]:
    return asdict(job) | {"started": _moment(job.started), "ended": _moment(job.ended)}


def _moment(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else None


@aws.command()
def query(
    sql: Annotated[str, typer.Argument(help="SQL as Athena has it, or the name of a question; see deploy/queries")],
    stack: Stack = "stedi",
) -> None:
    """Ask Athena in the deployment's workgroup, which stops a query that scans more than its limit."""
    from stedi.aws import athena, stacks
    from stedi.aws.named_queries import NAMED_QUERIES

    sql = as_utf8("the query", sql)
    names = stacks.outputs(stack)
    asked = next((question.athena for question in NAMED_QUERIES if question.name == sql.strip()), sql)
    with ERROR_CONSOLE.status("asking Athena") as state:
        answer = athena.run_query(asked, workgroup=names["WorkGroup"], database=names["Database"], progress=state.update)
        rows = list(islice(answer.rows, _MOST_ROWS_SHOWN + 1))
    shown = rows[:_MOST_ROWS_SHOWN]
    numbers = [
        name for name, kind in zip(answer.columns, answer.types, strict=True) if kind in ("bigint", "integer", "double")
    ]
    if OPTIONS.as_json:
        # All rows, for a program does not look at a screen.
        rows += answer.rows
        with output():
            render.print_json({"columns": answer.columns, "rows": rows, "scanned_bytes": answer.scanned_bytes})
        return
    show_grids([render.grid("", answer.columns, shown, numbers=numbers)], None)
    ERROR_CONSOLE.print(f"{answer.scanned_bytes / 1e6:,.2f} MB scanned in {answer.milliseconds / 1000:.1f} s")
    if len(rows) > len(shown):
        ERROR_CONSOLE.print(f"only the first {_MOST_ROWS_SHOWN:,} rows are shown; --json gives all")


@aws.command()
def cost(
    dpu_price: Annotated[float | None, typer.Option(min=0, help="price of a DPU-hour of Glue (USD)")] = None,
    scan_price: Annotated[float | None, typer.Option(min=0, help="price of a terabyte scanned by Athena (USD)")] = None,
    stack: Stack = "stedi",
) -> None:
    """Estimate what the next run costs, and what one look at all tables does, before either."""
    from stedi.aws import cost as costing
    from stedi.aws import stacks

    with ERROR_CONSOLE.status("looking at what has arrived"):
        made = costing.estimate_run(
            stacks.outputs(stack),
            stack=stack,
            dpu_price=costing.GLUE_USD_A_DPU_HOUR if dpu_price is None else dpu_price,
            scan_price=costing.ATHENA_USD_A_TB if scan_price is None else scan_price,
        )
    rows = [
        ("landing files", f"{made.landing_bytes / 1e6:,.1f} MB, {made.new_bytes / 1e6:,.1f} MB of them new"),
        ("the next run takes about", f"{made.seconds / 60:,.0f} minutes, {made.dpu_hours:,.2f} DPU-hours"),
        ("the next run costs about", f"{made.run_usd:,.2f} USD"),
        ("scanning every table once", f"{made.table_bytes / 1e6:,.1f} MB, {made.scan_usd:,.4f} USD at most"),
        ("keeping files and tables", f"{made.storage_usd_a_month:,.2f} USD a month"),
    ]
    show_grids([render.grid(f"estimate for stack {stack}", ("what", "about"), rows)], asdict(made))


@aws.command()
def destroy(
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="also delete landing files, tables and their keys, for good")
    ] = False,
    name: Annotated[str | None, typer.Option("--confirm", help="the stack's name, instead of typing it")] = None,
    stack: Stack = "stedi",
) -> None:
    """Remove the deployment; landing files and tables stay unless --delete-data is given."""
    from stedi.aws.deploy import destroy as remove

    if name is None:
        if not sys.stdin.isatty():
            raise UsageError(f"nobody is here to confirm; add --confirm {stack}")
        what = "with all landing files and tables" if delete_data else "without its data"
        name = typer.prompt(f"Type {stack} to remove it {what}", err=True)
    if name != stack:
        raise UsageError(f"{name!r} is not the stack's name, {stack!r}; nothing was removed")
    with ERROR_CONSOLE.status("removing") as state:
        left = remove(stack, delete_data=delete_data, progress=state.update)
    show_grids(
        [render.grid(f"stack {stack} is removed; what is left", ("name",), [(one,) for one in left])],
        {"stack": stack, "left": list(left)},
    )
