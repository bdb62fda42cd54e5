"""Permissions of roles, each with the reason for what can't be narrower."""

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
    wide: str | None = None,
) -> None:
    """Let a role do something with some resources; `wide` says why one of them is a pattern."""
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=list(on), conditions=where))
    patterns = [resource for resource in on if "*" in resource]
    if bool(patterns) != bool(wide):
        raise ValueError(f"{actions[0]}: give a reason for a pattern, and only for one")
    for pattern in patterns:
        acknowledge(role, f"IAM5[Resource::{_as_scanned(role, pattern)}]", str(wide))


def after_permissions(made: IConstruct, role: iam.Role) -> None:
    """Let something be made only once a role can do what it may."""
    made.node.add_dependency(role.node.find_child("DefaultPolicy"))


def _as_scanned(role: iam.Role, pattern: str) -> str:
    """A resource as the scanner writes it: references by their names in angle brackets."""
    resolved = Stack.of(role).resolve(pattern)
    parts = [resolved] if isinstance(resolved, str) else resolved["Fn::Join"][1]
    return "".join(part if isinstance(part, str) else _reference(part) for part in parts)


def _reference(part: Mapping[str, Any]) -> str:
    [(kind, target)] = part.items()
    if kind == "Fn::ImportValue":
        return str(target)
    return f"<{target if kind == 'Ref' else '.'.join(target)}>"
