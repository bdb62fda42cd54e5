"""Commands for a deployment on AWS: deploy, run, query, remove."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from stedi.cli.erase_people import Emails, File, Lift, Plan, RestoreCheck, Yes, check_options, erase_people, lift_person
from stedi.cli.program import Call, as_utf8, check_folder_name, command, group
from stedi.cli.progress import progress
from stedi.cli.queries import MAX_ROWS_SHOWN
from stedi.cli.sections import Result, Section, renderables, section, show
from stedi.cli.terminal import note, output, print_json
from stedi.cli.text import counted, duration, size, utc_text
from stedi.errors import UsageError

if TYPE_CHECKING:
    from stedi.aws.executions import JobState
    from stedi.aws.stacks import Change

aws = group("aws", "Deploy on AWS, run there, and query with Athena.", "AWS")

_NUMBERS = ("bigint", "integer", "double")

Stack = Annotated[str, typer.Option("--stack", help="name of the stack")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="parameter of the deployment, may be repeated; see docs/aws.md"),
]


def _parameters(given: list[str] | None) -> dict[str, str]:
    parameters = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text!r} gives no value; write NAME=VALUE, such as --set budget_usd=100")
        if name == "stack":
            raise UsageError("the name of the stack is not a --set parameter; it is given with --stack")
        parameters[name] = value
    return parameters


@command(aws)
def synth(
    call: Call,
    out: Annotated[Path, typer.Argument(help="folder for the templates")] = Path("cdk.out"),
    parameters: Parameters = None,
    stack: Stack = "stedi",
) -> None:
    """Write the CloudFormation templates. Makes no request to AWS.

    Example: stedi aws synth --set budget_usd=100
    """
    from stedi.aws.parameters import load_parameters
    from stedi.aws.templates import synthesise

    check_folder_name(out)
    deployment = load_parameters({"stack": stack, **_parameters(parameters)})
    with progress("making templates"):
        templates = synthesise(deployment, out)
    rows = [(template.name, template.stat().st_size) for template in templates]
    listed = Section(f"templates in {out}", ("template", "size"), rows, ("size",), show={"size": size})
    show(Result([listed], {"folder": str(out), "templates": [name for name, _ in rows]}), as_json=call.as_json)


@command(aws)
def deploy(
    call: Call,
    parameters: Parameters = None,
    administrator: Annotated[
        str | None,
        typer.Option(help="ARN of the Lake Formation administrator (default: that of the last deployment, else the caller)"),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="make all changes, including those of roles, without confirmation")
    ] = False,
    stack: Stack = "stedi",
) -> None:
    """Create or change the deployment. Show every change first, and keep parameters that are not given.

    Example: stedi aws deploy --set alarm_email=ops@example.org
    """
    from stedi.aws.deploy import deploy as deploy_stacks
    from stedi.aws.deploy import deployed_parameters
    from stedi.aws.parameters import load_parameters

    if not yes and not sys.stdin.isatty():
        raise UsageError("changes can't be confirmed without a terminal; review them with `stedi aws synth`, then add --yes")
    given = {"stack": stack, **_parameters(parameters)}
    load_parameters(given)
    with progress("starting") as display:

        def confirm(change: "Change") -> bool:
            with display.paused():
                _show_change(change)
                return yes or typer.confirm(f"Change stack {change.stack}?", err=True)

        deployment = load_parameters(deployed_parameters(stack) | given)
        deployed = deploy_stacks(deployment, administrator=administrator, confirm=confirm, progress=display)
    sections = [
        Section("changed", ("stack", "resources"), deployed.changed, ("resources",), empty="Nothing had to be changed."),
        Section("outputs", ("name", "value"), sorted(deployed.outputs.items())),
    ]
    show(Result(sections, {"changed": dict(deployed.changed), "outputs": deployed.outputs}), as_json=call.as_json)
    note(f"Next: put landing files into s3://{deployed.outputs['LandingBucket']}/, then `stedi aws run --wait`")


def _show_change(change: "Change") -> None:
    console = Console(stderr=True)
    title = f"stack {change.stack}: {counted(len(change.resources), 'change')}"
    for renderable in renderables(Section(title, ("action", "type", "name"), change.resources), console.width):
        console.print(renderable)
    roles = sum(resource_type.startswith("AWS::IAM::") for _, resource_type, _ in change.resources)
    if roles:
        note(f"{roles} of them change permissions (AWS::IAM).")


@command(aws)
def run(
    call: Call,
    wait: Annotated[bool, typer.Option("--wait", help="wait for the run to end, and show its progress")] = False,
    stack: Stack = "stedi",
) -> None:
    """Start a run. The run waits while another one is in progress.

    Example: stedi aws run --wait
    """
    from stedi.aws import executions, stacks

    arn = executions.start(stacks.outputs(stack)["StateMachine"])
    name = arn.rpartition(":")[2]
    if not wait:
        started = Section("run started", ("run",), [(name,)])
        show(Result([started], {"run": name, "status": "RUNNING"}), as_json=call.as_json)
        note("`stedi aws status` shows its progress")
        return
    with progress(f"run {name}") as display:
        execution = executions.wait(arn, display)
        jobs = executions.jobs_of(arn)
    json = {"run": name, "status": execution.status, "jobs": [_job_json(job) for job in jobs]}
    show(Result([_jobs_section(name, jobs)], json), as_json=call.as_json)
    if not any(job.state == "done" for job in jobs):
        note("an earlier run that is still waiting ingests the same files; see `stedi aws status`")


@command(aws)
def status(
    call: Call,
    last: Annotated[int, typer.Option(min=1, max=100, help="number of runs to list")] = 5,
    stack: Stack = "stedi",
) -> None:
    """List the last runs, and the jobs of the newest run.

    Example: stedi aws status --last 10
    """
    from stedi.aws import executions, stacks

    latest = executions.last_runs(stacks.outputs(stack)["StateMachine"], last)
    if not latest:
        show(Result([], {"runs": [], "jobs": []}), as_json=call.as_json)
        note(f"stack {stack} has not run yet; `stedi aws run` starts it")
        return
    rows = [
        {"run": run.name, "status": run.status, "started": _iso(run.started), "ended": _iso(run.ended)} for run in latest
    ]
    jobs = executions.jobs_of(latest[0].arn)
    listed = section("runs", rows, {key: key for key in rows[0]}, show={"started": utc_text, "ended": utc_text})
    json = {"runs": rows, "jobs": [_job_json(job) for job in jobs]}
    show(Result([listed, _jobs_section(latest[0].name, jobs)], json), as_json=call.as_json)


def _jobs_section(name: str, jobs: "list[JobState]") -> Section:
    rows = [(job.job, job.state, job.attempts or None, job.started, job.ended) for job in jobs]
    columns = ("job", "state", "attempts", "started", "ended")
    return Section(f"jobs of run {name}", columns, rows, ("attempts",), show={"started": utc_text, "ended": utc_text})


def _job_json(job: "JobState") -> dict[str, object]:
    return asdict(job) | {"started": _iso(job.started), "ended": _iso(job.ended)}


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else None


@command(aws)
def query(
    call: Call,
    sql: Annotated[str, typer.Argument(help="SQL for Athena, or the name of a query in deploy/queries")],
    stack: Stack = "stedi",
) -> None:
    """Run a query on Athena, in the deployment's workgroup and within its scan limit.

    Example: stedi aws query "SELECT count(*) FROM customer_trusted"
    """
    from stedi.aws import athena, stacks
    from stedi.aws.named_queries import NAMED_QUERIES

    sql = as_utf8("the query", sql)
    names = stacks.outputs(stack)
    statement = next((named.athena for named in NAMED_QUERIES if named.name == sql.strip()), sql)
    with progress("waiting for Athena") as display:
        answer = athena.run_query(statement, workgroup=names["WorkGroup"], database=names["Database"], progress=display)
        rows = list(islice(answer.rows, MAX_ROWS_SHOWN + 1))
    if call.as_json:
        # All rows: JSON is for programs.
        rows += answer.rows
        with output():
            print_json({"columns": answer.columns, "rows": rows, "scanned_bytes": answer.scanned_bytes})
        return
    numbers = [name for name, data_type in zip(answer.columns, answer.types, strict=True) if data_type in _NUMBERS]
    shown = Section("", answer.columns, rows[:MAX_ROWS_SHOWN], numbers, empty="No row.")
    show(Result([shown], None), as_json=False)
    note(f"{size(answer.scanned_bytes)} scanned in {duration(answer.milliseconds / 1000)}")
    if len(rows) > MAX_ROWS_SHOWN:
        note(f"only the first {MAX_ROWS_SHOWN:,} rows are shown; --json gives all")


@command(aws)
def cost(
    call: Call,
    dpu_price: Annotated[float | None, typer.Option(min=0, help="price of a DPU-hour of Glue (USD)")] = None,
    scan_price: Annotated[float | None, typer.Option(min=0, help="price of a terabyte scanned by Athena (USD)")] = None,
    stack: Stack = "stedi",
) -> None:
    """Estimate the cost of the next run, and of one scan of all tables.

    Example: stedi aws cost --dpu-price 0.44
    """
    from stedi.aws import cost as costing
    from stedi.aws import stacks

    with progress("measuring landing files and tables"):
        estimate = costing.estimate_run(
            stacks.outputs(stack),
            stack=stack,
            dpu_price=costing.GLUE_USD_PER_DPU_HOUR if dpu_price is None else dpu_price,
            scan_price=costing.ATHENA_USD_PER_TB if scan_price is None else scan_price,
        )
    rows = [
        ("landing files", f"{size(estimate.landing_bytes)}, {size(estimate.new_bytes)} of them new"),
        ("duration of the next run", f"{estimate.seconds / 60:,.0f} minutes, {estimate.dpu_hours:,.2f} DPU-hours"),
        ("cost of the next run", f"{estimate.run_usd:,.2f} USD"),
        ("one scan of all tables", f"{size(estimate.table_bytes)}, {estimate.scan_usd:,.4f} USD at most"),
        ("storage of files and tables", f"{estimate.storage_usd_a_month:,.2f} USD per month"),
    ]
    estimated = Section(f"estimate for stack {stack}", ("item", "estimate"), rows)
    show(Result([estimated], asdict(estimate)), as_json=call.as_json)


@command(aws)
def erase(
    call: Call,
    email: Emails = None,
    file: File = None,
    yes: Yes = False,
    plan: Plan = False,
    restore_check: RestoreCheck = False,
    lift: Lift = False,
    stack: Stack = "stedi",
) -> None:
    """Erase people from the deployment, as `stedi erase` does. Takes the privacy officer's role.

    Also deletes query results of Athena, and older versions of objects. Runs on this machine.

    Example: stedi aws erase ann@example.com
    """
    from stedi.aws import officer, stacks
    from stedi.catalog.run_log import new_run_id

    addresses = check_options(email, file, yes=yes, plan=plan, restore_check=restore_check, lift=lift)
    outputs, asked_by = stacks.outputs(stack), officer.caller()
    with officer.as_officer(outputs, f"erase-{new_run_id()}"):
        settings = call.settings(**officer.deployed_settings(outputs))
        if lift:
            lift_person(settings, addresses[0], as_json=call.as_json)
            return
        elsewhere = officer.elsewhere(outputs, asked_by)
        erase_people(settings, addresses, elsewhere, yes=yes, plan=plan, restore_check=restore_check, as_json=call.as_json)


@command(aws)
def destroy(
    call: Call,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="also delete landing files, tables and their keys, permanently")
    ] = False,
    name: Annotated[str | None, typer.Option("--confirm", help="the stack's name, instead of typing it")] = None,
    stack: Stack = "stedi",
) -> None:
    """Remove the deployment. Landing files and tables stay unless --delete-data is given.

    Example: stedi aws destroy --confirm stedi
    """
    from stedi.aws.deploy import destroy as remove_stacks

    if name is None:
        if not sys.stdin.isatty():
            raise UsageError(f"the removal can't be confirmed without a terminal; add --confirm {stack}")
        what = "with all landing files and tables" if delete_data else "without its data"
        name = typer.prompt(f"Type {stack} to remove it {what}", err=True)
    if name != stack:
        raise UsageError(f"{name!r} is not the name of the stack, {stack!r}; nothing was removed")
    with progress("removing") as display:
        left = remove_stacks(stack, delete_data=delete_data, progress=display)
    listed = Section(
        f"stack {stack} is removed; these resources are left",
        ("name",),
        [(resource,) for resource in left],
        empty=f"Stack {stack} is removed.",
    )
    show(Result([listed], {"stack": stack, "left": list(left)}), as_json=call.as_json)
