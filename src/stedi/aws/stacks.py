"""Stacks of CloudFormation: what a change would do, do it, find what they hold, remove them."""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stedi.aws.session import client, region, translate_errors
from stedi.errors import DeploymentError

Progress = Callable[[str], None]

# CloudFormation's own console looks as often.
_POLL_SECONDS = 5
# What the API takes inside a request; a larger template has to lie in S3.
_INLINE_BYTES = 51_200
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Change:
    """A change that CloudFormation has worked out and not made: (action, type, name) of each resource."""

    stack: str
    name: str
    resources: tuple[tuple[str, str, str], ...]


def find(stack: str) -> Mapping[str, Any] | None:
    """CloudFormation's description of a stack, or None where there is none of that name.

    Raises:
        DeploymentError: CloudFormation can't be asked.
    """
    formation = client("cloudformation")
    with translate_errors(f"stack {stack} can't be looked up"):
        try:
            return dict(formation.describe_stacks(StackName=stack)["Stacks"][0])
        except formation.exceptions.ClientError as error:
            if "does not exist" in str(error):
                return None
            raise


def outputs(stack: str) -> dict[str, str]:
    """What a deployed stack says of itself: names of buckets, of the state machine, and so on.

    Raises:
        DeploymentError: there is no such stack in this region, or its making did not finish.
    """
    found = find(stack)
    if found is None:
        raise DeploymentError(
            f"no stack {stack} is in {region()}; `stedi aws deploy` makes one, AWS_DEFAULT_REGION and --stack name another"
        )
    if "Outputs" not in found:
        raise DeploymentError(f"stack {stack} is {found['StackStatus']}; `stedi aws deploy` finishes it")
    return {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}


def plan(
    stack: str, template: str, parameters: Mapping[str, str], *, stored_at: str | None = None, progress: Progress
) -> Change | None:
    """What making the stack like the template would change; None where it is like it.

    `stored_at` is the URL of the template in S3, needed where it is large.

    Raises:
        DeploymentError: somebody else is changing the stack, or CloudFormation refuses the template.
    """
    found = find(stack)
    status = found["StackStatus"] if found else "REVIEW_IN_PROGRESS"
    if status == "ROLLBACK_COMPLETE":
        raise DeploymentError(f"making stack {stack} failed before; `stedi aws destroy` removes what is left of it")
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        raise DeploymentError(f"stack {stack} is being changed ({status}); wait for it to end, then run again")
    assert stored_at or len(template.encode()) <= _INLINE_BYTES, f"the template of {stack} is too large for a request"
    name = f"stedi-{uuid.uuid4().hex[:12]}"
    body = {"TemplateURL": stored_at} if stored_at else {"TemplateBody": template}
    progress(f"{stack}: working out what changes …")
    with translate_errors(f"stack {stack} can't be changed"):
        formation = client("cloudformation")
        formation.create_change_set(
            StackName=stack,
            ChangeSetName=name,
            ChangeSetType="CREATE" if status == "REVIEW_IN_PROGRESS" else "UPDATE",
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_NAMED_IAM"],
            # CloudFormation hands it on to what the stack holds.
            Tags=[{"Key": "stedi:stack", "Value": stack}],
            **body,
        )
        while True:
            found = formation.describe_change_set(StackName=stack, ChangeSetName=name)
            if found["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
                break
            time.sleep(_POLL_SECONDS)
        if found["Status"] == "FAILED":
            reason = str(found.get("StatusReason", ""))
            formation.delete_change_set(StackName=stack, ChangeSetName=name)
            if "didn't contain changes" in reason or "No updates" in reason:
                return None
            raise DeploymentError(f"stack {stack} can't be changed: {_one_line(reason)}")
        pages = formation.get_paginator("describe_change_set").paginate(StackName=stack, ChangeSetName=name)
        changes = [change["ResourceChange"] for page in pages for change in page["Changes"]]
    resources = tuple((c["Action"], c["ResourceType"], c["LogicalResourceId"]) for c in changes)
    return Change(stack, name, resources)


def forget(change: Change) -> None:
    """Throw a planned change away, and the empty stack that it was planned for."""
    with translate_errors(f"the planned change of stack {change.stack} can't be thrown away"):
        formation = client("cloudformation")
        formation.delete_change_set(StackName=change.stack, ChangeSetName=change.name)
        found = find(change.stack)
        if found and found["StackStatus"] == "REVIEW_IN_PROGRESS":
            formation.delete_stack(StackName=change.stack)


def make(change: Change, progress: Progress) -> None:
    """Carry a planned change out, and wait for it.

    Raises:
        DeploymentError: it failed; CloudFormation has taken back what it did.
    """
    with translate_errors(f"stack {change.stack} can't be changed"):
        client("cloudformation").execute_change_set(StackName=change.stack, ChangeSetName=change.name)
    status = _wait(change.stack, progress)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeploymentError(
            f"stack {change.stack} was not changed ({status}): {_why_it_failed(change.stack)}; "
            "put it right, then run `stedi aws deploy` again"
        )


def remove(stack: str, progress: Progress) -> None:
    """Delete a stack and wait for it; one that is not there is gone already.

    Raises:
        DeploymentError: something of it can't be deleted.
    """
    found = find(stack)
    if found is None:
        return
    with translate_errors(f"stack {stack} can't be deleted"):
        client("cloudformation").delete_stack(StackName=stack)
    status = _wait(found["StackId"], progress)
    if status != "DELETE_COMPLETE":
        raise DeploymentError(f"stack {stack} is not wholly deleted: {_why_it_failed(stack)}; run `stedi aws destroy` again")


def _wait(stack: str, progress: Progress) -> str:
    """Wait until nothing happens to a stack any more; returns its state."""
    while True:
        found = find(stack)
        status = str(found["StackStatus"]) if found else "DELETE_COMPLETE"
        if not status.endswith("_IN_PROGRESS"):
            return status
        with translate_errors(f"stack {stack} can't be watched"):
            events = client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
        if events:
            progress(f"{events[0]['StackName']}: {events[0]['LogicalResourceId']} {events[0]['ResourceStatus']}")
        time.sleep(_POLL_SECONDS)


def _why_it_failed(stack: str) -> str:
    with translate_errors(f"stack {stack} can't be asked what failed"):
        pages = client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
        return first_failure(event for page in pages for event in page["StackEvents"])


def first_failure(events: Iterable[Mapping[str, Any]]) -> str:
    """Which resource failed first in the newest change, and CloudFormation's reason; the newest event comes first."""
    failed = None
    for event in events:
        if event["ResourceStatus"].endswith("_FAILED"):
            failed = event
        is_start = event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
        if is_start and event["LogicalResourceId"] == event["StackName"]:
            break
    if failed is None:
        return "no resource says why"
    return f"{failed['LogicalResourceId']}: {_one_line(failed.get('ResourceStatusReason', 'no reason given'))}"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_REASON]
