"""Start runs on AWS, and read the state of their jobs from Step Functions' history."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from stedi.aws.clients import client, translate_errors
from stedi.aws.jobs import JOBS
from stedi.errors import DeploymentError
from stedi.model.progress import Progress, Report

_POLL_SECONDS = 10


@dataclass(frozen=True)
class JobState:
    """A job in one run; `state` is waiting, running, done or failed. Times are in UTC."""

    job: str
    state: str
    attempts: int = 0
    started: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True)
class Execution:
    """One run of the state machine; `status` is RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED."""

    arn: str
    name: str
    status: str
    started: datetime
    ended: datetime | None


def start(machine: str) -> str:
    """Start a run; return its ARN.

    Args:
        machine: ARN of the state machine, as for all functions here.

    Raises:
        DeploymentError: AWS refuses a request or can't be reached, as for all functions here.
    """
    with translate_errors("a run can't be started"):
        answer = client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps({"cause": "by hand"}))
    return str(answer["executionArn"])


def last_runs(machine: str, count: int) -> list[Execution]:
    """List the newest runs, newest first."""
    return [_execution(entry) for entry in _list(machine, maxResults=count)]


def is_running(machine: str) -> bool:
    """Whether a run is in progress or waiting for another one to end."""
    return bool(_list(machine, statusFilter="RUNNING", maxResults=1))


def last_success(machine: str) -> datetime | None:
    """Return when the newest successful run began; None if there is none."""
    return next((entry["startDate"] for entry in _list(machine, statusFilter="SUCCEEDED", maxResults=1)), None)


def _list(machine: str, **options: Any) -> list[Mapping[str, Any]]:
    with translate_errors("runs can't be listed"):
        entries: list[Mapping[str, Any]] = client("stepfunctions").list_executions(stateMachineArn=machine, **options)[
            "executions"
        ]
    return entries


def find(arn: str) -> Execution:
    """Look up a run by its ARN."""
    with translate_errors("the run can't be looked up"):
        return _execution(client("stepfunctions").describe_execution(executionArn=arn))


def _execution(entry: Mapping[str, Any]) -> Execution:
    return Execution(entry["executionArn"], entry["name"], entry["status"], entry["startDate"], entry.get("stopDate"))


def jobs_of(arn: str) -> list[JobState]:
    """Read the state of each job of a run."""
    with translate_errors("the run's history can't be read"):
        pages = client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
        return job_states(event for page in pages for event in page["events"])


def job_states(events: Iterable[Mapping[str, Any]]) -> list[JobState]:
    """Compute the state of each job from a run's history, oldest event first.

    In the history, a job whose error was caught ends with the same event as a successful one. So a job counts as done only
    after TaskSucceeded.
    """
    states = {job.name: JobState(job.name, "waiting") for job in JOBS}
    current: str | None = None
    succeeded = False
    for event in events:
        event_type, at = event["type"], event["timestamp"]
        if event_type.endswith("StateEntered"):
            current, succeeded = event["stateEnteredEventDetails"]["name"], False
            if current in states:
                states[current] = JobState(current, "running", 0, at)
        elif current not in states:
            continue
        elif event_type == "TaskScheduled":
            states[current] = replace(states[current], attempts=states[current].attempts + 1)
        elif event_type == "TaskSucceeded":
            succeeded = True
        elif event_type == "TaskStateExited" or event_type.startswith("Execution"):
            states[current] = replace(states[current], state="done" if succeeded else "failed", ended=at)
            current = None
    return list(states.values())


def wait(arn: str, progress: Report) -> Execution:
    """Wait until a run has ended.

    Args:
        arn: ARN of the run.
        progress: receives the current job every ten seconds.

    Raises:
        DeploymentError: the run failed. The message contains the name of the failed job.
    """
    while (run := find(arn)).status == "RUNNING":
        working = next((state for state in jobs_of(arn) if state.state == "running"), None)
        attempt = f" (attempt {working.attempts})" if working and working.attempts > 1 else ""
        progress(Progress(f"{working.job}{attempt}" if working else "waiting for its turn"))
        time.sleep(_POLL_SECONDS)
    if run.status != "SUCCEEDED":
        failed = next((state.job for state in jobs_of(arn) if state.state == "failed"), None)
        where = f"in the job {failed}" if failed else "outside its jobs"
        raise DeploymentError(
            f"run {run.name} ended as {run.status} {where}; the tables keep their last good state; "
            "the job's log in CloudWatch (/aws-glue/jobs/error) says why"
        )
    return run
