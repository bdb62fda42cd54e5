"""`stedi aws` against an emulated AWS: the project's own templates are deployed, run, asked and removed."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import boto3
import pytest
from moto.athena.models import athena_backends
from moto.stepfunctions.models import stepfunctions_backends

from stedi.aws import athena, officer, stacks
from stedi.aws import executions as runs
from stedi.aws.cost import estimate
from stedi.aws.jobs import JOBS
from stedi.aws.release import release_files, release_name
from stedi.cli import main
from stedi.config import load_settings
from stedi.privacy.certificate import signing_key
from stedi.storage import open_warehouse
from tests.support.cdk import Templates
from tests.support.emulated_aws import ACCOUNT, REGION, SETTINGS, emulated_aws

# What the emulated CloudFormation passes over, docs/aws.md lists as not verified.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS.*not supported by moto")


@dataclass
class Said:
    """What a command printed, and how it ended."""

    out: str
    err: str
    code: int

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Stedi = Callable[..., Said]


@pytest.fixture
def stedi(capsys: pytest.CaptureFixture[str]) -> Stedi:
    """Run the program in this process, as far from a terminal as in CI."""

    def call(*arguments: str) -> Said:
        capsys.readouterr()
        code = main(arguments)
        printed = capsys.readouterr()
        return Said(printed.out, printed.err, code)

    return call


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with emulated_aws() as url:
        yield url


@pytest.fixture(scope="module")
def deployed(endpoint: str, templates: Templates) -> dict[str, str]:
    """The outputs of a deployment that `stedi aws deploy` made, once for all tests that only look."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (SETTINGS | {"AWS_ENDPOINT_URL": endpoint}).items():
            patch.setenv(name, value)
        templates.use(patch)
        assert main(["aws", "deploy", "--yes", "--set", "scan_limit_gb=4"]) == 0
        return stacks.outputs("stedi")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, endpoint: str, deployed: dict[str, str]) -> dict[str, str]:
    for name, value in (SETTINGS | {"AWS_ENDPOINT_URL": endpoint}).items():
        monkeypatch.setenv(name, value)
    return deployed


def executions() -> list[Any]:
    return list(stepfunctions_backends[ACCOUNT][REGION].state_machines[0].executions)


def end_all(status: str = "SUCCEEDED") -> None:
    """Let every run that is at work end."""
    for execution in executions():
        if execution.status == "RUNNING":
            execution.status, execution.stop_date = status, execution.start_date


def test_templates_are_written_without_asking_aws(stedi: Stedi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    made = stedi("aws", "synth", str(tmp_path / "out"), "--set", "database=walks", "--stack", "walks", "--json").json
    assert made["templates"] == ["walks-foundation.template.json", "walks.template.json"]
    template = json.loads((tmp_path / "out/walks.template.json").read_text("utf-8"))
    [database] = [r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::Glue::Database"]
    assert database["DatabaseInput"]["Name"] == "walks"


def test_a_release_is_the_wheel_and_a_script_a_job() -> None:
    files = release_files()
    wheel, *scripts = files
    assert scripts == [f"jobs/{job.name}.py" for job in JOBS]
    assert wheel.endswith("-py3-none-any.whl")
    with ZipFile(BytesIO(files[wheel])) as archive:
        names = archive.namelist()
        record = archive.read(next(name for name in names if name.endswith("/RECORD"))).decode()
    assert {"stedi/__init__.py", "stedi/py.typed", "stedi/cli/glue_job.py"} <= set(names)
    assert not any("__pycache__" in name for name in names)
    assert [line.partition(",")[0] for line in record.splitlines()] == names
    assert release_name(files) == release_name(release_files())
    assert release_name(files) != release_name(files | {scripts[0]: b""})


def test_deploying_puts_code_where_the_jobs_look_for_it(aws: dict[str, str]) -> None:
    job = boto3.client("glue").get_job(JobName=f"stedi-{JOBS[0].name}")["Job"]
    arguments = job["DefaultArguments"]
    assert arguments["--landing"] == f"s3://{aws['LandingBucket']}"
    assert arguments["--pseudonym_secret"] == aws["PseudonymKey"]
    wheel = arguments["--additional-python-modules"].split(",")[0]
    for place in (job["Command"]["ScriptLocation"], wheel):
        bucket, _, key = place.removeprefix("s3://").partition("/")
        assert boto3.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"] > 0


def test_deploying_again_keeps_the_parameters_that_are_not_given(
    stedi: Stedi, aws: dict[str, str], templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates.use(monkeypatch)
    assert json.loads(aws["Parameters"])["scan_limit_gb"] == 4
    assert stedi("aws", "deploy", "--yes", "--set", "workers=3").code == 0
    kept = json.loads(stacks.outputs("stedi")["Parameters"])
    assert (kept["scan_limit_gb"], kept["workers"]) == (4, 3)


def test_a_change_that_nobody_wants_leaves_nothing_behind(aws: dict[str, str]) -> None:
    queue = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    change = stacks.plan("unwanted", queue, {}, progress=lambda _: None)
    assert change is not None
    assert change.resources == (("Add", "AWS::SQS::Queue", "Queue"),)
    stacks.discard(change)
    assert stacks.find("unwanted") is None


def failure(resource: str, status: str, reason: str = "") -> dict[str, str]:
    return {
        "StackName": "stedi",
        "LogicalResourceId": resource,
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


def test_nobody_erases_in_a_deployment_without_an_officer(stedi: Stedi, aws: dict[str, str]) -> None:
    said = stedi("aws", "erase", "ann@example.com", "--plan")
    assert (said.code, said.out) == (1, "")
    assert "no role for a privacy officer; name those who may assume it: `stedi aws deploy --set officers=ARN`" in said.err
    assert "ann" not in said.err


def test_the_officers_role_is_taken_for_a_while(
    aws: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile officer]\naws_access_key_id = key\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "officer")
    before = dict(os.environ)
    outputs = aws | {"OfficerRole": f"arn:aws:iam::{ACCOUNT}:role/stedi-privacy-officer"}
    with officer.as_officer(outputs, "erase-1"):
        assert officer.caller() == f"arn:aws:sts::{ACCOUNT}:assumed-role/stedi-privacy-officer/erase-1"
        assert "AWS_PROFILE" not in os.environ
        settings = load_settings(None, officer.deployed_settings(outputs))
        assert settings.privacy_folder == f"{aws['Warehouse']}-privacy"
        assert settings.privacy.suppression_key
        assert settings.privacy.signing_key
        folder = open_warehouse(settings.privacy_folder)
        first, again = (signing_key(folder, settings.privacy.signing_key.get_secret_value()) for _ in range(2))
        assert first.fingerprint == again.fingerprint
    assert dict(os.environ) == before


def test_the_first_failure_of_the_newest_change_is_told() -> None:
    newest_first = [
        failure("stedi", "UPDATE_ROLLBACK_COMPLETE"),
        failure("Bucket", "UPDATE_FAILED", "Resource update cancelled"),
        failure("Key", "UPDATE_FAILED", "no right to\n change it"),
        failure("stedi", "UPDATE_IN_PROGRESS"),
        failure("Old", "CREATE_FAILED", "long ago"),
    ]
    assert stacks.first_failure(newest_first) == "Key: no right to change it"
    assert stacks.first_failure(newest_first[-2:-1]) == "CloudFormation gives no reason"


def test_deploying_needs_somebody_to_confirm(stedi: Stedi, aws: dict[str, str]) -> None:
    said = stedi("aws", "deploy")
    assert said.code == 2
    assert "add --yes" in said.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["deploy", "--yes", "--set", "budget=5"], "did you mean budget_usd?"),
        (["deploy", "--yes", "--set", "budget_usd"], "write NAME=VALUE"),
        (["synth", "--set", "workers=1"], "parameter workers: "),
        (["synth", "--set", "stack=other"], "is given with --stack"),
        (["destroy"], "add --confirm stedi"),
        (["destroy", "--confirm", "sted"], "nothing was removed"),
    ],
)
def test_what_was_typed_wrong_is_said_and_nothing_is_done(
    stedi: Stedi, aws: dict[str, str], arguments: list[str], says: str
) -> None:
    said = stedi("aws", *arguments)
    assert said.code == 2
    assert says in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("command", [["run"], ["status"], ["query", "SELECT 1"], ["cost"]])
def test_a_missing_stack_is_said_with_its_region(stedi: Stedi, aws: dict[str, str], command: list[str]) -> None:
    said = stedi("aws", *command, "--stack", "other")
    assert said.code == 1
    assert "there is no stack other in us-east-1; create it with `stedi aws deploy`" in said.err


def test_without_credentials_one_line_says_so(stedi: Stedi, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    said = stedi("aws", "status")
    assert said.code == 1
    assert "there are no credentials; set AWS_PROFILE" in said.err
    assert said.err.count("\n") == 1


def test_without_a_region_one_line_says_so(stedi: Stedi, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    said = stedi("aws", "status")
    assert (said.code, said.err) == (1, "stedi: no AWS region is set; name it in AWS_DEFAULT_REGION\n")


def test_a_server_that_is_not_there_is_said_without_a_secret(
    stedi: Stedi, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    said = stedi("aws", "status")
    assert said.code == 1
    assert "stack stedi can't be looked up: the connection fails" in said.err
    assert SETTINGS["AWS_SECRET_ACCESS_KEY"] not in said.err


def test_a_run_starts_is_listed_and_ends(stedi: Stedi, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    started = stedi("aws", "run", "--json").json
    listed = stedi("aws", "status", "--json").json
    assert listed["runs"][0]["run"] == started["run"]
    assert listed["runs"][0]["status"] == "RUNNING"
    assert [job["job"] for job in listed["jobs"]] == [job.name for job in JOBS]
    end_all()
    monkeypatch.setattr(runs, "_POLL_SECONDS", 0.1)
    ender = threading.Timer(1, end_all)
    ender.start()
    waited = stedi("aws", "run", "--wait", "--json")
    ender.join()
    assert waited.json["status"] == "SUCCEEDED"
    # The emulated history knows none of the jobs, as that of a run that left.
    assert "an earlier run that is still waiting ingests the same files" in waited.err


def test_a_run_that_fails_is_an_error(stedi: Stedi, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_POLL_SECONDS", 0.1)
    ender = threading.Timer(1, end_all, ["FAILED"])
    ender.start()
    said = stedi("aws", "run", "--wait")
    ender.join()
    assert said.code == 1
    assert "ended as FAILED" in said.err
    assert "the tables keep their last good state" in said.err


def event(kind: str, seconds: int, name: str | None = None) -> dict[str, Any]:
    details = {"stateEnteredEventDetails": {"name": name}} if name else {}
    return {"type": kind, "timestamp": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)} | details


def test_jobs_are_read_off_the_history() -> None:
    first, second, third = (job.name for job in JOBS[:3])
    events = [
        event("ExecutionStarted", 0),
        event("WaitStateEntered", 0, "wait for more files"),
        event("WaitStateExited", 30),
        event("TaskStateEntered", 30, first),
        event("TaskScheduled", 30),
        event("TaskFailed", 60),
        event("TaskScheduled", 90),
        event("TaskSucceeded", 120),
        event("TaskStateExited", 120),
        event("TaskStateEntered", 121, second),
        event("TaskScheduled", 121),
        event("TaskFailed", 140),
        event("TaskStateExited", 140),
        event("TaskStateEntered", 140, "send alarm"),
        event("TaskScheduled", 140),
        event("TaskSucceeded", 141),
        event("TaskStateExited", 141),
        event("ExecutionFailed", 142),
    ]
    states = {state.job: state for state in runs.job_states(events)}
    assert [(states[j].state, states[j].attempts) for j in (first, second, third)] == [
        ("done", 2),
        ("failed", 1),
        ("waiting", 0),
    ]
    assert states[first].ended == datetime(2026, 1, 1, 0, 2, tzinfo=UTC)
    working = {state.job: state.state for state in runs.job_states(events[:6])}
    assert working[first] == "running"
    stopped = {state.job: state.state for state in runs.job_states([*events[:6], event("ExecutionAborted", 70)])}
    assert stopped[first] == "failed"


def answer(rows: list[list[str]]) -> None:
    """What the emulated Athena finds next."""
    columns: list[Any] = [
        {"Name": name, "Type": kind, "CatalogName": "", "SchemaName": "", "TableName": "", "Label": name}
        | {"Precision": 0, "Scale": 0, "Nullable": "UNKNOWN", "CaseSensitive": False}
        for name, kind in (("table_name", "varchar"), ("table_rows", "bigint"))
    ]
    from moto.athena.models import QueryResults

    athena_backends[ACCOUNT][REGION].query_results_queue.append(
        QueryResults(rows=[{"Data": [{"VarCharValue": cell} for cell in row]} for row in rows], column_info=columns)
    )


def test_questions_are_asked_in_the_workgroup(stedi: Stedi, aws: dict[str, str]) -> None:
    answer([["table_name", "table_rows"], ["customer_trusted", "482"]])
    found = stedi("aws", "query", "rows_per_table", "--json").json
    assert found["columns"] == ["table_name", "table_rows"]
    assert found["rows"] == [["customer_trusted", "482"]]
    last = list(athena_backends[ACCOUNT][REGION].executions.values())[-1]
    assert last.workgroup is not None
    assert last.workgroup.name == aws["WorkGroup"]
    assert last.query.startswith('SELECT\n  "zone"')
    answer([["table_name", "table_rows"], ["customer_trusted", "482"]])
    assert "482" in stedi("aws", "query", "SELECT 1").out


def test_a_query_over_the_limit_says_what_to_do() -> None:
    said = athena.failure_reason("Query cancelled! : Bytes scanned limit was exceeded", "CANCELLED", "stedi", "SELECT 1")
    assert "more than workgroup stedi allows" in said
    assert "scan_limit_gb" in said


def test_a_failed_query_repeats_no_value_that_it_met() -> None:
    reason = "INVALID_CAST_ARGUMENT: Cannot cast 'ann@example.com' to\nINT; column 'email'"
    said = athena.failure_reason(reason, "FAILED", "stedi", "SELECT CAST(email AS int) FROM t WHERE c = 'email'")
    assert "ann@example.com" not in said
    assert "'email'" in said
    assert "\n" not in said


def test_cost_is_worked_out_by_hand() -> None:
    made = estimate(
        landing_bytes=2_000_000_000,
        new_bytes=0,
        table_bytes=500_000_000_000,
        worker_type="G.2X",
        workers=3,
        dpu_price=1.0,
        scan_price=5.0,
    )
    # Seven jobs of 90 s with six DPUs are 1.05 DPU-hours.
    assert (made.seconds, made.dpu_hours, made.run_usd) == (630, 1.05, 1.05)
    assert made.scan_usd == 2.5
    assert made.storage_usd_a_month == 11.55
    more = estimate(
        landing_bytes=0, new_bytes=10_000_000_000, table_bytes=0, worker_type="G.1X", workers=2, dpu_price=1, scan_price=1
    )
    less = estimate(
        landing_bytes=0, new_bytes=10_000_000_000, table_bytes=0, worker_type="G.1X", workers=5, dpu_price=1, scan_price=1
    )
    assert less.seconds < more.seconds


def test_cost_looks_at_what_arrived_since_the_last_good_run(stedi: Stedi, aws: dict[str, str]) -> None:
    s3 = boto3.client("s3")
    s3.put_object(Bucket=aws["LandingBucket"], Key="customer/a.json", Body=b"x" * 1_000)
    s3.put_object(Bucket=aws["LandingBucket"], Key="customer/read.me", Body=b"x" * 70)
    s3.put_object(Bucket=aws["LandingBucket"], Key="elsewhere/a.json", Body=b"x" * 70)
    s3.put_object(Bucket=aws["LakehouseBucket"], Key="lakehouse/stedi/t/data/a.parquet", Body=b"x" * 300)
    stedi("aws", "run")
    end_all()
    for moment, new in ((datetime(2020, 1, 1, tzinfo=UTC), 1_000), (datetime.now(UTC) + timedelta(minutes=1), 0)):
        for execution in executions():
            execution.start_date = moment
        made = stedi("aws", "cost", "--json").json
        assert (made["landing_bytes"], made["new_bytes"], made["table_bytes"]) == (1_000, new, 300)
    assert stedi("aws", "cost", "--dpu-price", "0", "--json").json["run_usd"] == 0


def test_destroying_keeps_data_unless_it_is_told_to_delete_it(
    stedi: Stedi, endpoint: str, templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates.use(monkeypatch)
    for name, value in (SETTINGS | {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "eu-west-1"}).items():
        monkeypatch.setenv(name, value)
    assert stedi("aws", "deploy", "--yes", "--stack", "short", "--set", "database=short").code == 0
    names = stacks.outputs("short")
    s3 = boto3.client("s3")
    s3.put_object(Bucket=names["LandingBucket"], Key="customer/a.json", Body=b"{}")
    running = stedi("aws", "run", "--stack", "short", "--json").json["run"]
    refused = stedi("aws", "destroy", "--stack", "short", "--confirm", "short")
    assert refused.code == 1
    assert "a run of stack short is working" in refused.err
    boto3.client("stepfunctions").stop_execution(
        executionArn=f"{names['StateMachine'].replace(':stateMachine:', ':execution:')}:{running}"
    )
    gone = stedi("aws", "destroy", "--stack", "short", "--confirm", "short", "--delete-data", "--json")
    assert gone.json == {"stack": "short", "left": []}
    assert stacks.find("short") is None
    assert stacks.find("short-foundation") is None
    left = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    assert not {names["LandingBucket"], names["LakehouseBucket"]} & left
    again = stedi("aws", "destroy", "--stack", "short", "--confirm", "short")
    assert (again.code, "there is no stack short in eu-west-1" in again.err) == (1, True)
