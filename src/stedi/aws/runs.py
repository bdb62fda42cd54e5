"""Runs on AWS: start one, and tell from Step Functions' history what became of each job."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stedi.aws.jobs import JOBS
from stedi.aws.session import client, translate_errors
from stedi.errors import DeploymentError

_POLL_SECONDS = 10


@dataclass(frozen=True)
class JobState:
    """One job in one run: waiting, running, done or failed, at which attempt, and when (UTC)."""

    job: str
    state: str
    attempts: int = 0
    started: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True)
class Execution:
    """One run: RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED."""

    arn: str
    name: str
    status: str
    started: datetime
    ended: datetime | None


def start(machine: str) -> str:
    """Start a run; returns its ARN.

    Raises:
        DeploymentError: Step Functions refuses.
    """
    with translate_errors("a run can't be started"):
        started = client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps({"cause": "by hand"}))
    return str(started["executionArn"])


def last_runs(machine: str, count: int) -> list[Execution]:
    """The newest runs, newest first."""
    with translate_errors("runs can't be listed"):
        found = client("stepfunctions").list_executions(stateMachineArn=machine, maxResults=count)["executions"]
    return [_execution(one) for one in found]


def is_running(machine: str) -> bool:
    """Whether a run is at work or waits."""
    with translate_errors("runs can't be listed"):
        found = client("stepfunctions").list_executions(stateMachineArn=machine, statusFilter="RUNNING", maxResults=1)
    return bool(found["executions"])


def last_success(machine: str) -> datetime | None:
    """When the newest run that succeeded began."""
    with translate_errors("runs can't be listed"):
        found = client("stepfunctions").list_executions(stateMachineArn=machine, statusFilter="SUCCEEDED", maxResults=1)
    return next((one["startDate"] for one in found["executions"]), None)


def find(arn: str) -> Execution:
    """A run as it stands."""
    with translate_errors("the run can't be looked up"):
        return _execution(client("stepfunctions").describe_execution(executionArn=arn))


def _execution(found: Mapping[str, Any]) -> Execution:
    return Execution(found["executionArn"], found["name"], found["status"], found["startDate"], found.get("stopDate"))


def jobs_of(arn: str) -> list[JobState]:
    """What became of every job of a run, in order."""
    with translate_errors("the run's history can't be read"):
        pages = client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
        return job_states(event for page in pages for event in page["events"])


def job_states(events: Iterable[Mapping[str, Any]]) -> list[JobState]:
    """Read a history, oldest event first; a job whose error was caught is left like one that is done."""
    states = {job.name: JobState(job.name, "waiting") for job in JOBS}
    now: str | None = None
    succeeded = False
    for event in events:
        kind, at = event["type"], event["timestamp"]
        if kind.endswith("StateEntered"):
            now, succeeded = event["stateEnteredEventDetails"]["name"], False
            if now in states:
                states[now] = JobState(now, "running", 0, at)
        elif now not in states:
            continue
        elif kind == "TaskScheduled":
            seen = states[now]
            states[now] = JobState(now, "running", seen.attempts + 1, seen.started)
        elif kind == "TaskSucceeded":
            succeeded = True
        elif kind == "TaskStateExited" or kind.startswith("Execution"):
            seen = states[now]
            states[now] = JobState(now, "done" if succeeded else "failed", seen.attempts, seen.started, at)
            now = None
    return list(states.values())


def wait(arn: str, progress: Callable[[str], None]) -> Execution:
    """Wait for a run to end.

    Raises:
        DeploymentError: it ended badly; the message names the job.
    """
    while (run := find(arn)).status == "RUNNING":
        working = next((state for state in jobs_of(arn) if state.state == "running"), None)
        tried = f" (attempt {working.attempts})" if working and working.attempts > 1 else ""
        progress(f"{working.job}{tried} …" if working else "waiting for its turn …")
        time.sleep(_POLL_SECONDS)
    if run.status != "SUCCEEDED":
        failed = next((state.job for state in jobs_of(arn) if state.state == "failed"), None)
        where = f"in the job {failed}" if failed else "outside of its jobs"
        raise DeploymentError(
            f"run {run.name} ended as {run.status} {where}; the tables keep their last good state; "
            "the job's log in CloudWatch (/aws-glue/jobs/error) says why"
        )
    return run
