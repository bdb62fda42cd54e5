"""The synthesised templates: clean by two scanners, and the properties that must hold asserted one by one."""

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from stedi.aws.jobs import JOBS
from stedi.aws.named_queries import NAMED_QUERIES
from stedi.aws.parameters import DeploymentParameters, load_parameters
from stedi.errors import UsageError
from stedi.tables.registry import ALL, BY_NAME, REFRESHED
from tests.support.cdk import Templates, new_app, synthesise_checked

ROOT = Path(__file__).parents[2]
REGIONS = ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1"]
# Found by AWS's own documentation to know no resource.
NO_RESOURCE = {
    "cloudwatch:PutMetricData",
    "lakeformation:GetDataAccess",
    "lakeformation:GrantPermissions",
    "lakeformation:RevokePermissions",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}


OFFICERS = ["arn:aws:iam::123456789012:role/privacy", "arn:aws:iam::123456789012:user/path/ann.officer@example.com"]


@pytest.fixture(scope="module")
def assembly(templates: Templates) -> Path:
    return templates.assembly(
        DeploymentParameters(alarm_email="alarms@example.com", scan_limit_gb=3, budget_usd=70, officers=",".join(OFFICERS))
    )


def template(assembly: Path, stack: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((assembly / f"{stack}.template.json").read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def lakehouse(assembly: Path) -> dict[str, Any]:
    return template(assembly, "stedi")


@pytest.fixture(scope="module")
def foundation(assembly: Path) -> dict[str, Any]:
    return template(assembly, "stedi-foundation")


def of_type(stack: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: r["Properties"] for name, r in stack["Resources"].items() if r["Type"] == kind}


def flat(value: Any) -> str:
    """A property as one text: references by name in angle brackets."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1:
        [(kind, target)] = value.items()
        if kind == "Fn::Join":
            return "".join(map(flat, target[1]))
        if kind in ("Ref", "Fn::ImportValue"):
            return f"<{target}>"
        if kind == "Fn::GetAtt":
            return f"<{target[0]}>"
    return json.dumps(value)


def statements(stack: Mapping[str, Any], role: str) -> list[dict[str, Any]]:
    """What a role may do, from all its policies."""
    attached = [p for p in of_type(stack, "AWS::IAM::Policy").values() if {"Ref": role} in p["Roles"]]
    return [statement for policy in attached for statement in policy["PolicyDocument"]["Statement"]]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def allowed(stack: Mapping[str, Any], role: str) -> Iterator[tuple[str, str]]:
    """(action, resource) of everything that a role may do."""
    for statement in statements(stack, role):
        for action in listed(statement["Action"]):
            for resource in listed(statement["Resource"]):
                yield action, flat(resource)


def glue_jobs(stack: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {p["Name"].removeprefix("stedi-"): p for p in of_type(stack, "AWS::Glue::Job").values()}


def role_of(stack: Mapping[str, Any], job: str) -> str:
    return str(glue_jobs(stack)[job]["Role"]["Fn::GetAtt"][0])


def secret_named(stack: Mapping[str, Any], part: str) -> str:
    return next(name for name in of_type(stack, "AWS::SecretsManager::Secret") if part in name)


def bucket_named(stack: Mapping[str, Any], part: str) -> str:
    return next(name for name in of_type(stack, "AWS::S3::Bucket") if part in name)


def test_the_security_scanner_that_finds_nothing_here_is_at_work(assembly: Path, tmp_path: Path) -> None:
    assert assembly.is_dir()
    app = new_app(tmp_path)
    from aws_cdk import BootstraplessSynthesizer, Stack
    from aws_cdk import aws_s3 as s3

    s3.Bucket(Stack(app, "bare", synthesizer=BootstraplessSynthesizer()), "Bare")
    with pytest.raises(RuntimeError, match="AwsSolutions-S10"):
        synthesise_checked(app)


def test_the_linter_of_cloudformation_finds_nothing(assembly: Path, request: pytest.FixtureRequest) -> None:
    from cfnlint.api import lint

    regions = REGIONS if request.config.getoption("--deep") else REGIONS[:1]
    for stack in ("stedi-foundation", "stedi"):
        found = lint((assembly / f"{stack}.template.json").read_text("utf-8"), regions=regions)
        # W3005: CDK names a dependency that a reference implies already. I…: hints.
        assert [str(match) for match in found if match.rule.id[0] != "I" and match.rule.id != "W3005"] == []


def test_templates_fit_in_what_cloudformation_takes(assembly: Path) -> None:
    assert (assembly / "stedi-foundation.template.json").stat().st_size < 51_200
    assert (assembly / "stedi.template.json").stat().st_size < 1_000_000


def test_every_bucket_is_encrypted_versioned_logged_and_closed(
    lakehouse: dict[str, Any], foundation: dict[str, Any]
) -> None:
    for stack, count in ((lakehouse, 3), (foundation, 2)):
        buckets = of_type(stack, "AWS::S3::Bucket")
        assert len(buckets) == count
        policies = {p["Bucket"]["Ref"]: flat(p["PolicyDocument"]) for p in of_type(stack, "AWS::S3::BucketPolicy").values()}
        for name, bucket in buckets.items():
            [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            logs_access = "AccessLogs" in name
            assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == ("AES256" if logs_access else "aws:kms")
            assert ("KMSMasterKeyID" in rule["ServerSideEncryptionByDefault"]) != logs_access
            assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
            assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
            assert len(bucket["PublicAccessBlockConfiguration"]) == 4
            assert ("LoggingConfiguration" in bucket) != logs_access
            assert '"Effect": "Deny"' in policies[name]
            assert '"aws:SecureTransport": "false"' in policies[name]


def test_erased_data_is_gone_after_days(lakehouse: dict[str, Any]) -> None:
    for part, days in (("Landing", 3), ("Lakehouse", 3), ("AthenaResults", 1)):
        bucket = of_type(lakehouse, "AWS::S3::Bucket")[bucket_named(lakehouse, part)]
        rules = bucket["LifecycleConfiguration"]["Rules"]
        assert [r["NoncurrentVersionExpiration"]["NoncurrentDays"] for r in rules if "NoncurrentVersionExpiration" in r] == [
            days
        ]
        assert any(r.get("ExpiredObjectDeleteMarker") or r.get("ExpirationInDays") for r in rules)


def test_data_outlives_the_stack_and_nothing_else_does(lakehouse: dict[str, Any], foundation: dict[str, Any]) -> None:
    kept = {name for name, r in lakehouse["Resources"].items() if r.get("DeletionPolicy") == "RetainExceptOnCreate"}
    assert {lakehouse["Resources"][name]["Type"] for name in kept} == {
        "AWS::S3::Bucket",
        "AWS::KMS::Key",
        "AWS::SecretsManager::Secret",
    }
    assert not any("Results" in name for name in kept)
    keys = {name for name, r in foundation["Resources"].items() if r.get("DeletionPolicy") == "Retain"}
    assert {foundation["Resources"][name]["Type"] for name in keys} == {"AWS::KMS::Key"}


def test_keys_rotate(lakehouse: dict[str, Any], foundation: dict[str, Any]) -> None:
    keys = [key for stack in (lakehouse, foundation) for key in of_type(stack, "AWS::KMS::Key").values()]
    assert len(keys) == 2
    assert all(key["EnableKeyRotation"] for key in keys)


def test_no_role_may_do_everything_or_anything_to_everything(lakehouse: dict[str, Any]) -> None:
    roles = of_type(lakehouse, "AWS::IAM::Role")
    assert roles
    for role, properties in roles.items():
        assert "ManagedPolicyArns" not in properties, "what AWS manages is wider than needed"
        for action, resource in allowed(lakehouse, role):
            assert "*" not in action, (role, action)
            assert resource != "*" or action in NO_RESOURCE, (role, action)
            # A pattern ends an ARN: it never stands for a bucket, a database or an account.
            assert "*" not in resource[:-1], (role, resource)


def test_services_take_roles_only_for_this_account(lakehouse: dict[str, Any]) -> None:
    for name, role in of_type(lakehouse, "AWS::IAM::Role").items():
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            if "Service" in statement["Principal"] and "EventsRole" not in name:
                assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}, name


def test_every_job_has_its_script_its_role_and_its_arguments(lakehouse: dict[str, Any]) -> None:
    jobs = glue_jobs(lakehouse)
    assert list(jobs) == [job.name for job in JOBS]
    assert len({flat(job["Role"]) for job in jobs.values()}) == len(JOBS)
    secret, suppression = secret_named(lakehouse, "Pseudonym"), secret_named(lakehouse, "Suppression")
    for name, job in jobs.items():
        assert flat(job["Command"]["ScriptLocation"]).endswith(f"/releases/<Release>/jobs/{name}.py")
        assert job["GlueVersion"] == "6.0"
        assert job["ExecutionProperty"]["MaxConcurrentRuns"] == 1
        arguments = job["DefaultArguments"]
        assert flat(arguments["--landing"]) == f"s3://<{bucket_named(lakehouse, 'Landing')}>"
        assert flat(arguments["--warehouse"]) == f"s3://<{bucket_named(lakehouse, 'Lakehouse')}>/lakehouse"
        assert (arguments["--database"], arguments["--policy"], arguments["--engine"]) == ("stedi", "customer", "spark")
        assert arguments["--datalake-formats"] == "iceberg"
        # The secret's name is an argument; what it holds stands nowhere.
        assert arguments["--pseudonym_secret"] == {"Ref": secret}
        assert arguments["--suppression_secret"] == {"Ref": suppression}
        assert arguments["--alarm_drop"] == "0.5"
        assert (arguments["--owners_confidence"], arguments["--match_tolerance_ms"]) == ("0.999", "50")
        assert ("--alarm_topic" in arguments) == (name == "publish_run")
        wheel, *modules = flat(arguments["--additional-python-modules"]).split(",")
        assert wheel.endswith("-py3-none-any.whl")
        assert all("==" in module for module in modules)
        assert {"duckdb", "pyiceberg", "sqlglot", "boto3"} <= {module.partition("==")[0] for module in modules}


def test_keys_are_made_by_aws_and_stand_in_no_template(lakehouse: dict[str, Any]) -> None:
    secrets = of_type(lakehouse, "AWS::SecretsManager::Secret").values()
    assert len(secrets) == 3
    for secret in secrets:
        assert "SecretString" not in secret
        assert secret["GenerateSecretString"]["PasswordLength"] == 64
        assert "KmsKeyId" in secret


def officer_role(stack: Mapping[str, Any]) -> str:
    return next(name for name in of_type(stack, "AWS::IAM::Role") if name.startswith("OfficerRole"))


def test_only_named_principals_may_be_the_officer(lakehouse: dict[str, Any]) -> None:
    role = of_type(lakehouse, "AWS::IAM::Role")[officer_role(lakehouse)]
    trusted = role["AssumeRolePolicyDocument"]["Statement"]
    assert {statement["Effect"] for statement in trusted} == {"Allow"}
    assert [arn for statement in trusted for arn in listed(statement["Principal"]["AWS"])] == OFFICERS
    assert lakehouse["Outputs"]["OfficerRole"]["Value"] == {"Fn::GetAtt": [officer_role(lakehouse), "Arn"]}


def test_the_officer_changes_all_data_and_creates_no_table(lakehouse: dict[str, Any]) -> None:
    may = set(allowed(lakehouse, officer_role(lakehouse)))
    data, landing = f"<{bucket_named(lakehouse, 'Lakehouse')}>", f"<{bucket_named(lakehouse, 'Landing')}>"
    results = f"<{bucket_named(lakehouse, 'AthenaResults')}>/results/*"
    assert {resource for action, resource in may if action == "s3:DeleteObjectVersion"} == {
        f"{landing}/*",
        f"{data}/lakehouse/*",
        f"{data}/lakehouse-privacy/*",
        results,
    }
    # Query results are deleted unread.
    assert ("s3:GetObject", results) not in may
    glue = {action: resource for action, resource in may if action.startswith("glue:")}
    assert set(glue) == {"glue:GetDatabase", "glue:GetTable", "glue:UpdateTable"}
    updated = {
        resource.rpartition("/")[2] for action, resource in may if action == "glue:UpdateTable" if "table/" in resource
    }
    assert updated == {table.name for table in ALL}
    assert not any(action.startswith(("iam:", "sts:", "kms:Schedule", "s3:PutBucket")) for action, _ in may)


def test_jobs_only_read_the_lists_in_the_privacy_folder(lakehouse: dict[str, Any]) -> None:
    key = f"<{secret_named(lakehouse, 'Signing')}>"
    for role in of_type(lakehouse, "AWS::IAM::Role"):
        if role != officer_role(lakehouse):
            private = {
                (action, resource.rpartition("-privacy/")[2])
                for action, resource in allowed(lakehouse, role)
                if "-privacy/" in resource
            }
            assert {action for action, _ in private} <= {"s3:GetObject"}, role
            assert {name for _, name in private} <= {"suppression/*", "retention.json"}, role
            assert key not in {resource for _, resource in allowed(lakehouse, role)}


def test_the_bucket_refuses_everybody_else_in_the_privacy_folder(lakehouse: dict[str, Any]) -> None:
    denied = denials(lakehouse)
    others = {"ArnNotEquals": {"aws:PrincipalArn": {"Fn::GetAtt": [officer_role(lakehouse), "Arn"]}}}
    assert {(name, json.dumps(statement.get("Condition"))) for name, statement in denied.items()} == {
        ("OnlyOfficerWrites", json.dumps(others)),
        ("OnlyOfficerReads", json.dumps(others)),
        # Nor may the officer delete what the officer has to answer for.
        ("NobodyDeletes", "null"),
    }
    assert all(statement["Principal"] == {"AWS": "*"} for statement in denied.values())
    keys = {name: {flat(r).partition(">/")[2] for r in listed(s["Resource"])} for name, s in denied.items()}
    assert keys == {
        "OnlyOfficerWrites": {"lakehouse-privacy/*"},
        "OnlyOfficerReads": {
            "lakehouse-privacy/certificates/*",
            "lakehouse-privacy/erasure.json",
            "lakehouse/privacy_log/*",
        },
        "NobodyDeletes": {"lakehouse-privacy/certificates/*", "lakehouse-privacy/suppression/list.json"},
    }
    assert {"s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"} <= set(denied["OnlyOfficerWrites"]["Action"])
    assert denied["OnlyOfficerReads"]["Action"] == ["s3:GetObject", "s3:GetObjectVersion"]
    assert denied["NobodyDeletes"]["Action"] == ["s3:DeleteObject", "s3:DeleteObjectVersion"]


def denials(stack: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The statements with a name in the policy of the lakehouse's bucket."""
    bucket = bucket_named(stack, "Lakehouse")
    [policy] = [p for p in of_type(stack, "AWS::S3::BucketPolicy").values() if p["Bucket"]["Ref"] == bucket]
    return {s["Sid"]: s for s in policy["PolicyDocument"]["Statement"] if "Sid" in s and s["Effect"] == "Deny"}


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_job_reaches_its_tables_and_feeds_and_no_others(lakehouse: dict[str, Any], job: Any) -> None:
    may = list(allowed(lakehouse, role_of(lakehouse, job.name)))
    data = f"<{bucket_named(lakehouse, 'Lakehouse')}>/lakehouse/"
    landing = f"<{bucket_named(lakehouse, 'Landing')}>/"
    objects = {resource for action, resource in may if action in ("s3:PutObject", "s3:GetObject", "s3:DeleteObject")}
    reach = {table.name for table in job.accessible_tables}
    assert {r for r in objects if r.startswith(f"{data}stedi/")} == {f"{data}stedi/{name}/*" for name in reach}
    folders = {folder for feed in job.feeds for folder in feed.folders}
    assert {r for r in objects if r.startswith(landing)} == {f"{landing}{folder}/*" for folder in folders}
    assert not any(a != "s3:GetObject" for a, r in may if r.startswith(landing))
    glue = {r.rpartition(":")[2] for a, r in may if a == "glue:UpdateTable"}
    assert glue == {"catalog", "database/stedi", *(f"table/stedi/{name}" for name in reach)}
    assert (("s3:PutObject", f"{data}runs/*") in may) == (job.name == "publish_run")


def test_the_customers_job_knows_nothing_of_sensors() -> None:
    job = next(job for job in JOBS if job.name == "customer_landing_to_trusted")
    assert {table.name for table in job.accessible_tables} == {
        "customer_landing",
        "consent_hold",
        "customer_trusted",
        "consent_history",
    }
    assert [feed.name for feed in job.feeds] == ["customer"]


def test_jobs_cover_every_table_and_come_after_their_inputs() -> None:
    order = [name for job in JOBS for name in job.tables]
    assert len(set(order)) == len(order)
    # What no job is for, such as tables made for training, the publishing job brings up to date.
    for position, name in enumerate(order):
        assert all(order.index(needed) < position for needed in BY_NAME[name].built_from if needed in order)
    assert JOBS[-1].publishes
    assert JOBS[-1].accessible_tables == ALL
    assert not any(job.publishes for job in JOBS[:-1])
    assert {table.name for table in REFRESHED} >= set(order)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_script_is_for_the_tables_that_its_role_is_for(job: Any) -> None:
    script = ROOT / f"deploy/jobs/{job.name}.py"
    calls = [n for n in ast.walk(ast.parse(script.read_text("utf-8"))) if isinstance(n, ast.Call)]
    [call] = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "main"]
    named = {argument.value for argument in call.args if isinstance(argument, ast.Constant)}
    assert named == set(job.tables)
    publish = [k.value for k in call.keywords if k.arg == "publish"]
    assert bool(publish and isinstance(publish[0], ast.Constant) and publish[0].value) == job.publishes


def machine(stack: Mapping[str, Any]) -> dict[str, Any]:
    [properties] = of_type(stack, "AWS::StepFunctions::StateMachine").values()
    found: dict[str, Any] = json.loads(flat(properties["DefinitionString"]))
    return found


def test_the_jobs_run_one_after_the_other_with_another_try_and_an_alarm(lakehouse: dict[str, Any]) -> None:
    states = machine(lakehouse)["States"]
    name, ran = machine(lakehouse)["StartAt"], []
    while name != "grant columns":
        state = states[name]
        if "glue:startJobRun.sync" in state.get("Resource", ""):
            ran.append(name)
            assert state["Arguments"] == {"JobName": f"stedi-{name}"}
            assert any(retry["ErrorEquals"] == ["States.ALL"] for retry in state["Retry"])
            assert state["Catch"][0]["Next"] == "send alarm"
        name = state["Choices"][0]["Next"] if state["Type"] == "Choice" else state["Next"]
    assert ran == [job.name for job in JOBS]
    assert states["send alarm"]["Resource"].endswith(":sns:publish")
    assert states[states["send alarm"]["Next"]]["Type"] == "Fail"


def test_only_the_oldest_execution_works_and_at_most_one_waits(lakehouse: dict[str, Any]) -> None:
    states = machine(lakehouse)["States"]
    assert states["count older runs"]["Arguments"]["StatusFilter"] == "RUNNING"
    [work, leave] = states["start or wait"]["Choices"]
    assert (work["Condition"], work["Next"]) == ("{% $older = 0 %}", JOBS[0].name)
    assert (leave["Condition"], states[leave["Next"]]["Type"]) == ("{% $older > 1 %}", "Succeed")
    assert states[states["start or wait"]["Default"]]["Next"] == "count older runs"


def test_data_scientists_read_no_column_that_names_a_person(lakehouse: dict[str, Any]) -> None:
    branches = machine(lakehouse)["States"]["grant columns"]["Branches"]
    grants = [s["Arguments"] for b in branches for n, s in b["States"].items() if n.startswith("grant ")]
    opened = {g["Resource"]["TableWithColumns"]["Name"]: g["Resource"]["TableWithColumns"]["ColumnNames"] for g in grants}
    assert set(opened) == {table.name for table in ALL if table.zone == "curated"}
    for name, columns in opened.items():
        assert columns == [c.name for c in BY_NAME[name].columns if not c.personal]
    assert {"person", "email", "customerName", "phone", "birthDay"}.isdisjoint(opened["customers_curated"])
    revoked = [s["Arguments"] for b in branches for n, s in b["States"].items() if n.startswith("revoke ")]
    closed = {r["Resource"]["TableWithColumns"]["Name"]: r["Resource"]["TableWithColumns"]["ColumnNames"] for r in revoked}
    assert closed["customers_curated"] == [c.name for c in BY_NAME["customers_curated"].columns if c.personal]


def test_a_table_that_nobody_asked_for_yet_fails_no_run(lakehouse: dict[str, Any]) -> None:
    branches = machine(lakehouse)["States"]["grant columns"]["Branches"]
    for table in (table for table in ALL if table.zone == "curated"):
        [branch] = [b for b in branches if f"grant {table.name}" in b["States"]]
        missing = [
            branch["States"][caught["Next"]]["Type"]
            for caught in branch["States"][f"grant {table.name}"].get("Catch", ())
            if caught["ErrorEquals"] == ["LakeFormation.EntityNotFoundException"]
        ]
        assert missing == (["Succeed"] if table.on_demand else [])


def test_data_scientists_have_no_way_around_lake_formation(lakehouse: dict[str, Any]) -> None:
    role = next(name for name in of_type(lakehouse, "AWS::IAM::Role") if "DataScience" in name)
    results = bucket_named(lakehouse, "AthenaResults")
    for action, resource in allowed(lakehouse, role):
        assert not action.startswith("s3:") or f"<{results}>" in resource, (action, resource)
        assert not action.startswith("secretsmanager:")
    [database] = of_type(lakehouse, "AWS::Glue::Database").values()
    assert database["DatabaseInput"]["CreateTableDefaultPermissions"] == []
    [settings] = of_type(lakehouse, "AWS::LakeFormation::DataLakeSettings").values()
    assert settings["MutationType"] == "APPEND", "the account's other administrators stay"
    grants = of_type(lakehouse, "AWS::LakeFormation::PrincipalPermissions").values()
    theirs = [g for g in grants if flat(g["Principal"]["DataLakePrincipalIdentifier"]) == f"<{role}>"]
    assert [g["Permissions"] for g in theirs] == [["DESCRIBE"]]


def test_athena_stops_at_the_limit_and_encrypts(lakehouse: dict[str, Any]) -> None:
    [workgroup] = of_type(lakehouse, "AWS::Athena::WorkGroup").values()
    configuration = workgroup["WorkGroupConfiguration"]
    assert configuration["BytesScannedCutoffPerQuery"] == 3_000_000_000
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["ResultConfiguration"]["EncryptionConfiguration"]["EncryptionOption"] == "SSE_KMS"
    queries = {q["Name"]: q["QueryString"] for q in of_type(lakehouse, "AWS::Athena::NamedQuery").values()}
    assert queries == {question.name: f"{question.athena}\n" for question in NAMED_QUERIES}


def test_alarms_reach_somebody(lakehouse: dict[str, Any]) -> None:
    [topic] = of_type(lakehouse, "AWS::SNS::Topic")
    alarms = of_type(lakehouse, "AWS::CloudWatch::Alarm")
    assert {a["AlarmName"] for a in alarms.values()} == {
        "stedi-run-failed",
        "stedi-run-timed-out",
        "stedi-run-aborted",
        "stedi-no-run",
        "stedi-arrival-unsent",
    }
    assert all(alarm["AlarmActions"] == [{"Ref": topic}] for alarm in alarms.values())
    [policy] = of_type(lakehouse, "AWS::SNS::TopicPolicy").values()
    # The publishing job and the state machine, and no other role, send to it themselves.
    roles = {job.name: role_of(lakehouse, job.name) for job in JOBS}
    senders = {
        name for name, role in roles.items() if any(action == "sns:Publish" for action, _ in allowed(lakehouse, role))
    }
    assert senders == {"publish_run"}
    assert ("sns:Publish", f"<{topic}>") in allowed(lakehouse, roles["publish_run"])
    assert glue_jobs(lakehouse)["publish_run"]["DefaultArguments"]["--alarm_topic"] == {"Ref": topic}
    let_in = [s["Principal"]["Service"] for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    assert let_in == [["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]]
    [mail] = of_type(lakehouse, "AWS::SNS::Subscription").values()
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", "alarms@example.com")
    [budget] = of_type(lakehouse, "AWS::Budgets::Budget").values()
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 70, "Unit": "USD"}
    assert all(
        subscriber == {"SubscriptionType": "SNS", "Address": {"Ref": topic}}
        for notice in budget["NotificationsWithSubscribers"]
        for subscriber in notice["Subscribers"]
    )


def test_files_that_arrive_together_start_one_run(lakehouse: dict[str, Any]) -> None:
    bucket = of_type(lakehouse, "AWS::S3::Bucket")[bucket_named(lakehouse, "Landing")]
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    [pipe] = of_type(lakehouse, "AWS::Pipes::Pipe").values()
    gathered = pipe["SourceParameters"]["SqsQueueParameters"]
    assert gathered == {"BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 300}
    rules = of_type(lakehouse, "AWS::Events::Rule").values()
    assert [rule["ScheduleExpression"] for rule in rules if "ScheduleExpression" in rule] == ["cron(0 3 * * ? *)"]


def test_the_page_lists_every_parameter_with_its_default() -> None:
    page = (ROOT / "docs/aws.md").read_text("utf-8")
    for name, field in DeploymentParameters.model_fields.items():
        if name == "stack":
            continue
        default = "" if field.default is None else f"`{field.default}`"
        assert f"| `{name}` | {default} | {field.description} |" in page, name


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"budget": "5"}, "did you mean budget_usd?"),
        ({"budget_usd": "nothing"}, "parameter budget_usd"),
        ({"workers": "1"}, "parameter workers"),
        ({"schedule": "every day"}, "parameter schedule"),
        ({"database": "Stedi"}, "parameter database"),
        ({"alarm_email": "me"}, "parameter alarm_email"),
        ({"officers": "*"}, "parameter officers"),
        ({"officers": "arn:aws:iam::123456789012:root"}, "parameter officers"),
    ],
)
def test_wrong_parameters_are_refused_by_name(given: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("?", r"\?")):
        load_parameters(given)
