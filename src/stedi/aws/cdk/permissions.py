"""Add permissions to roles, with a reason for each wildcard."""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import IConstruct

from stedi.aws.cdk.acknowledgements import acknowledge


def allow(
    role: iam.Role,
    *actions: str,
    on: Sequence[str],
    where: Mapping[str, Any] | None = None,
    wildcard_reason: str | None = None,
) -> None:
    """Allow a role some actions on some resources.

    Args:
        role: the role.
        actions: IAM actions.
        on: ARNs of the resources.
        where: IAM conditions.
        wildcard_reason: why an ARN has a wildcard, for the security scanner's report; None without a wildcard.

    Raises:
        ValueError: there is a wildcard without a reason, or a reason without a wildcard.
    """
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=list(on), conditions=where))
    patterns = [resource for resource in on if "*" in resource]
    if bool(patterns) != bool(wildcard_reason):
        raise ValueError(f"{actions[0]}: give a reason for a wildcard, and only for a wildcard")
    for pattern in patterns:
        acknowledge(role, f"IAM5[Resource::{_as_scanned(role, pattern)}]", str(wildcard_reason))


def after_permissions(resource: IConstruct, role: iam.Role) -> None:
    """Create a resource only after the permissions of its role."""
    resource.node.add_dependency(role.node.find_child("DefaultPolicy"))


def _as_scanned(role: iam.Role, pattern: str) -> str:
    """Write an ARN in the scanner's notation: references are names in angle brackets."""
    resolved = Stack.of(role).resolve(pattern)
    parts = [resolved] if isinstance(resolved, str) else resolved["Fn::Join"][1]
    return "".join(part if isinstance(part, str) else _reference(part) for part in parts)


def _reference(part: Mapping[str, Any]) -> str:
    [(function, target)] = part.items()
    if function == "Fn::ImportValue":
        return str(target)
    return f"<{target if function == 'Ref' else '.'.join(target)}>"
