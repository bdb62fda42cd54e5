"""CloudFormation stacks: look up, plan a change, execute it, delete."""

import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stedi.aws.clients import client, region, translate_errors
from stedi.errors import DeploymentError
from stedi.model.progress import Progress, Report

# As often as CloudFormation's console polls.
_POLL_SECONDS = 5
# Largest template in a request. A larger one has to be in S3.
_INLINE_BYTES = 51_200
_MAX_REASON_LENGTH = 300


@dataclass(frozen=True)
class Change:
    """A change set that is not executed yet; `resources` has (action, type, logical name) of each resource."""

    stack: str
    name: str
    resources: tuple[tuple[str, str, str], ...]


def find(stack: str) -> Mapping[str, Any] | None:
    """Return CloudFormation's description of a stack; None if there is no such stack.

    Raises:
        DeploymentError: AWS refuses a request or can't be reached.
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
    """Return the outputs of a deployed stack: names of buckets, ARN of the state machine, and so on.

    Raises:
        DeploymentError: there is no such stack in this region, or its creation did not finish.
    """
    description = find(stack)
    if description is None:
        raise DeploymentError(
            f"there is no stack {stack} in {region()}; create it with `stedi aws deploy`, "
            "or name another with AWS_DEFAULT_REGION and --stack"
        )
    if "Outputs" not in description:
        raise DeploymentError(f"stack {stack} is {description['StackStatus']}; finish it with `stedi aws deploy`")
    return {output["OutputKey"]: output["OutputValue"] for output in description["Outputs"]}


def plan(
    stack: str, template: str, parameters: Mapping[str, str], *, template_url: str | None = None, progress: Report
) -> Change | None:
    """Create a change set that updates a stack to a template, or creates the stack; None if nothing changes.

    Args:
        stack: name of the stack; it need not exist.
        template: text of the template.
        parameters: parameters of the template.
        template_url: URL of the same template in S3. Needed if it is larger than a request allows.
        progress: receives each step.

    Raises:
        DeploymentError: the stack is being changed by somebody else, or CloudFormation refuses the template.
    """
    description = find(stack)
    status = description["StackStatus"] if description else "REVIEW_IN_PROGRESS"
    if status == "ROLLBACK_COMPLETE":
        raise DeploymentError(
            f"the creation of stack {stack} failed before; remove the rest with `stedi aws destroy`, then deploy again"
        )
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        raise DeploymentError(f"stack {stack} is being changed ({status}); wait for it to end, then run again")
    assert template_url or len(template.encode()) <= _INLINE_BYTES, f"the template of {stack} is too large for a request"
    name = f"stedi-{uuid.uuid4().hex[:12]}"
    body = {"TemplateURL": template_url} if template_url else {"TemplateBody": template}
    progress(Progress(f"{stack}: planning the change"))
    with translate_errors(f"stack {stack} can't be changed"):
        formation = client("cloudformation")
        formation.create_change_set(
            StackName=stack,
            ChangeSetName=name,
            ChangeSetType="CREATE" if status == "REVIEW_IN_PROGRESS" else "UPDATE",
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_NAMED_IAM"],
            # CloudFormation copies the tag to the stack's resources.
            Tags=[{"Key": "stedi:stack", "Value": stack}],
            **body,
        )
        while True:
            change_set = formation.describe_change_set(StackName=stack, ChangeSetName=name)
            if change_set["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
                break
            time.sleep(_POLL_SECONDS)
        if change_set["Status"] == "FAILED":
            reason = str(change_set.get("StatusReason", ""))
            formation.delete_change_set(StackName=stack, ChangeSetName=name)
            if "didn't contain changes" in reason or "No updates" in reason:
                return None
            raise DeploymentError(
                f"stack {stack} can't be changed: {_one_line(reason)}; correct it, then run `stedi aws deploy` again"
            )
        pages = formation.get_paginator("describe_change_set").paginate(StackName=stack, ChangeSetName=name)
        changes = [change["ResourceChange"] for page in pages for change in page["Changes"]]
    resources = tuple((c["Action"], c["ResourceType"], c["LogicalResourceId"]) for c in changes)
    return Change(stack, name, resources)


def discard(change: Change) -> None:
    """Delete a change set, and the empty stack that it would have created.

    Raises:
        DeploymentError: AWS refuses a request or can't be reached.
    """
    with translate_errors(f"the planned change of stack {change.stack} can't be deleted"):
        formation = client("cloudformation")
        formation.delete_change_set(StackName=change.stack, ChangeSetName=change.name)
        description = find(change.stack)
        if description and description["StackStatus"] == "REVIEW_IN_PROGRESS":
            formation.delete_stack(StackName=change.stack)


def execute(change: Change, progress: Report) -> None:
    """Execute a change set, and wait for it.

    Raises:
        DeploymentError: the change failed, and CloudFormation rolled it back.
    """
    with translate_errors(f"stack {change.stack} can't be changed"):
        client("cloudformation").execute_change_set(StackName=change.stack, ChangeSetName=change.name)
    status = _wait(change.stack, progress)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeploymentError(
            f"stack {change.stack} was not changed ({status}): {_failure_reason(change.stack)}; "
            "correct it, then run `stedi aws deploy` again"
        )


def remove(stack: str, progress: Report) -> None:
    """Delete a stack, and wait for it. A missing stack is no error.

    Raises:
        DeploymentError: a resource of it can't be deleted.
    """
    description = find(stack)
    if description is None:
        return
    with translate_errors(f"stack {stack} can't be deleted"):
        client("cloudformation").delete_stack(StackName=stack)
    status = _wait(description["StackId"], progress)
    if status != "DELETE_COMPLETE":
        raise DeploymentError(f"stack {stack} is partly deleted: {_failure_reason(stack)}; run `stedi aws destroy` again")


def _wait(stack: str, progress: Report) -> str:
    """Wait until a stack is no longer changing; return its status."""
    while True:
        description = find(stack)
        status = str(description["StackStatus"]) if description else "DELETE_COMPLETE"
        if not status.endswith("_IN_PROGRESS"):
            return status
        with translate_errors(f"the events of stack {stack} can't be read"):
            events = client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
        if events:
            progress(Progress(f"{events[0]['StackName']}: {events[0]['LogicalResourceId']} {events[0]['ResourceStatus']}"))
        time.sleep(_POLL_SECONDS)


def _failure_reason(stack: str) -> str:
    with translate_errors(f"the events of stack {stack} can't be read"):
        pages = client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
        return first_failure(event for page in pages for event in page["StackEvents"])


def first_failure(events: Iterable[Mapping[str, Any]]) -> str:
    """Return the resource that failed first in the newest change, with CloudFormation's reason.

    Args:
        events: the stack's events, newest first, as CloudFormation lists them.
    """
    failed = None
    for event in events:
        if event["ResourceStatus"].endswith("_FAILED"):
            failed = event
        is_start = event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
        if is_start and event["LogicalResourceId"] == event["StackName"]:
            break
    if failed is None:
        return "CloudFormation gives no reason"
    return f"{failed['LogicalResourceId']}: {_one_line(failed.get('ResourceStatusReason', 'no reason given'))}"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MAX_REASON_LENGTH]
