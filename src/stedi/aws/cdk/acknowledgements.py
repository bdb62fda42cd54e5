"""Findings of the security scanner that stand, each with its reason."""

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, finding: str, reason: str) -> None:
    """Let a finding of cdk-nag's AwsSolutions rules stand; `finding` is its name, such as IAM5[Resource::*]."""
    Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions-{finding}", reason=reason))
