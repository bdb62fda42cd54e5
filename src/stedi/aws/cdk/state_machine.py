"""Definition of the Step Functions state machine that runs the jobs, in Amazon States Language."""

from collections.abc import Mapping, Sequence
from typing import Any

# Files arrive in groups, and a run ingests all files that arrived before its first job lists them. Step Functions' list of
# executions also lags by seconds.
_SETTLE_SECONDS = 30
_WAIT_SECONDS = 120
# A day: no run takes longer, so waiting longer for another run is pointless.
_TIMEOUT_SECONDS = 86_400

# Number of running executions that began before this one. The list is sorted by start, newest first. For an execution
# that is not yet in the list the number is 1, so it waits and reads the list again.
_OLDER = """{% (
  $ids := $states.result.Executions.ExecutionArn;
  $place := $filter([0..$count($ids) - 1], function($n) { $ids[$n] = $states.context.Execution.Id });
  $count($place) = 0 ? 1 : $count($ids) - 1 - $place[0]
) %}"""


def definition(
    jobs: Mapping[str, str],
    *,
    machine: str,
    topic: str,
    column_grants: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the state machine that runs Glue jobs one after the other, one execution at a time.

    A failed job is retried, and the retry continues where it stopped.

    Args:
        jobs: names of Glue jobs by state, in order.
        machine: ARN of the state machine itself.
        topic: ARN of the SNS topic for failed runs.
        column_grants: columns to grant and to revoke after the last job, see `Access.column_grants`.
    """
    states = _waiting_states(machine, first_job=next(iter(jobs)))
    states |= _job_states(jobs, last="grant columns")
    states["grant columns"] = {
        "Type": "Parallel",
        "Branches": [_grant_states(grants) for grants in column_grants],
        "Catch": [_caught()],
        "End": True,
    }
    states["send alarm"] = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sns:publish",
        # Without the cause: a service's error message may quote data.
        "Arguments": {
            "TopicArn": topic,
            "Subject": "STEDI: a run failed",
            "Message": "{% 'The run ' & $states.context.Execution.Name & ' failed (' & $failure & '). "
            "The tables keep their last good state; see `stedi aws status`.' %}",
        },
        "Retry": [_retry("States.ALL", 5, seconds=5)],
        "Next": "failed",
    }
    states["failed"] = {"Type": "Fail", "Error": "RunFailed", "Cause": "a job failed; see `stedi aws status`"}
    return {
        "Comment": "Landing files to published tables, one execution at a time",
        "QueryLanguage": "JSONata",
        "StartAt": "wait for more files",
        "TimeoutSeconds": _TIMEOUT_SECONDS,
        "States": states,
    }


def _waiting_states(machine: str, *, first_job: str) -> dict[str, Any]:
    """Return the states that let one execution run and one wait, and end all others."""
    return {
        "wait for more files": {"Type": "Wait", "Seconds": _SETTLE_SECONDS, "Next": "count older runs"},
        "count older runs": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sfn:listExecutions",
            "Arguments": {"StateMachineArn": machine, "StatusFilter": "RUNNING"},
            "Assign": {"older": _OLDER},
            "Retry": [_retry("States.ALL", 5, seconds=10)],
            "Catch": [_caught()],
            "Next": "start or wait",
        },
        "start or wait": {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $older = 0 %}", "Next": first_job},
                # An older execution that is still waiting will ingest the same files.
                {"Condition": "{% $older > 1 %}", "Next": "leave to older run"},
            ],
            "Default": "wait for older run",
        },
        "wait for older run": {"Type": "Wait", "Seconds": _WAIT_SECONDS, "Next": "count older runs"},
        "leave to older run": {"Type": "Succeed"},
    }


def _job_states(jobs: Mapping[str, str], *, last: str) -> dict[str, Any]:
    """Return one state for each Glue job, each followed by the next, and the last job by the state `last`."""
    names = list(jobs)
    return {
        state: {
            "Type": "Task",
            "Resource": "arn:aws:states:::glue:startJobRun.sync",
            "Arguments": {"JobName": jobs[state]},
            "Retry": [
                # The previous run of the same job is still stopping.
                _retry("Glue.ConcurrentRunsExceededException", 10, seconds=30),
                _retry("States.ALL", 2, seconds=60),
            ],
            "Catch": [_caught()],
            "Next": following,
        }
        for state, following in zip(names, [*names[1:], last], strict=True)
    }


def _retry(error: str, times: int, *, seconds: int) -> dict[str, Any]:
    return {
        "ErrorEquals": [error],
        "IntervalSeconds": seconds,
        "MaxAttempts": times,
        "BackoffRate": 2,
        "MaxDelaySeconds": 600,
    }


def _caught() -> dict[str, Any]:
    return {"ErrorEquals": ["States.ALL"], "Assign": {"failure": "{% $states.errorOutput.Error %}"}, "Next": "send alarm"}


def _grant_states(grants: Mapping[str, Any]) -> dict[str, Any]:
    """Return the states for one table: revoke the personal columns if they were granted, then grant the others."""
    table = grants["table"]
    grant, revoke = f"grant {table}", f"revoke {table}"
    absent = f"no {table} yet"
    # An on-demand table is created at its first use, so it may be missing.
    missing = [{"ErrorEquals": ["LakeFormation.EntityNotFoundException"], "Next": absent}] if grants["on_demand"] else []
    states: dict[str, Any] = {grant: _permission("grantPermissions", grants, grants["granted"]) | {"End": True}}
    if missing:
        states[grant] |= {"Catch": missing}
        states[absent] = {"Type": "Succeed"}
    if grants["revoked"]:
        states[revoke] = _permission("revokePermissions", grants, grants["revoked"]) | {
            # Lake Formation refuses to revoke what was never granted.
            "Catch": [{"ErrorEquals": ["LakeFormation.InvalidInputException"], "Next": grant}, *missing],
            "Next": grant,
        }
    return {"StartAt": revoke if grants["revoked"] else grant, "States": states}


def _permission(action: str, grants: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::aws-sdk:lakeformation:{action}",
        "Arguments": {
            "Principal": {"DataLakePrincipalIdentifier": grants["principal"]},
            "Permissions": ["SELECT"],
            "Resource": {
                "TableWithColumns": {
                    "DatabaseName": grants["database"],
                    "Name": grants["table"],
                    "ColumnNames": list(columns),
                }
            },
        },
        "Retry": [
            {
                "ErrorEquals": ["LakeFormation.ConcurrentModificationException", "LakeFormation.InternalServiceException"],
                "IntervalSeconds": 5,
                "MaxAttempts": 5,
                "BackoffRate": 2,
            }
        ],
    }
