"""Moto with the parts of CloudFormation that a deployment needs and moto lacks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.athena.models import athena_backends
from moto.cloudformation.models import ChangeSet, cloudformation_backends
from moto.core.common_models import CloudFormationModel
from moto.glue.models import glue_backends
from moto.secretsmanager.models import secretsmanager_backends

from tests.support.moto_server import forget_all, moto_server

ACCOUNT, REGION = "123456789012", "us-east-1"
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "a-very-secret-key",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


class Resource(CloudFormationModel):
    """A CloudFormation resource that is created in moto's backend of its service."""

    kind = ""
    make: Callable[[str, str, str, dict[str, Any]], str]

    def __init__(self, identifier: str) -> None:
        self.physical_resource_id = identifier

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.kind

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return False

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> "Resource":
        return cls(cls.make(resource_name, account_id, region_name, cloudformation_json["Properties"]))

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: "Resource",
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> "Resource":
        return original_resource

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        """Do nothing: no test checks that a resource was deleted."""


def _secret(name: str, account: str, region: str, properties: dict[str, Any]) -> str:
    backend = secretsmanager_backends[account][region]
    backend.create_secret(name, "x" * 64, None, "", [], None, None, [], False)
    return str(backend.secrets[name].arn)


def _job(name: str, account: str, region: str, properties: dict[str, Any]) -> str:
    glue_backends[account][region].create_job(
        name=properties["Name"],
        role=properties["Role"],
        command=properties["Command"],
        description="",
        log_uri="",
        execution_property={},
        default_arguments=properties["DefaultArguments"],
        non_overridable_arguments={},
        connections={},
        max_retries=0,
        allocated_capacity=0,
        timeout=0,
        max_capacity=0.0,
        security_configuration="",
        tags={},
        notification_property={},
        glue_version=properties["GlueVersion"],
        number_of_workers=int(properties["NumberOfWorkers"]),
        worker_type=properties["WorkerType"],
        code_gen_configuration_nodes={},
        execution_class="STANDARD",
        source_control_details={},
    )
    return str(properties["Name"])


def _workgroup(name: str, account: str, region: str, properties: dict[str, Any]) -> str:
    athena_backends[account][region].create_work_group(
        properties["Name"], properties["WorkGroupConfiguration"], properties["Description"], []
    )
    return str(properties["Name"])


def _database(name: str, account: str, region: str, properties: dict[str, Any]) -> str:
    made = properties["DatabaseInput"]
    glue_backends[account][region].create_database(made["Name"], made)
    return str(made["Name"])


class Secret(Resource, CloudFormationModel):  # moto finds only direct subclasses
    kind = "AWS::SecretsManager::Secret"
    make = staticmethod(_secret)


class Job(Resource, CloudFormationModel):
    kind = "AWS::Glue::Job"
    make = staticmethod(_job)


class Database(Resource, CloudFormationModel):
    kind = "AWS::Glue::Database"
    make = staticmethod(_database)


class WorkGroup(Resource, CloudFormationModel):
    kind = "AWS::Athena::WorkGroup"
    make = staticmethod(_workgroup)


_apply = ChangeSet.apply


def _apply_with_exports(change_set: ChangeSet) -> None:
    """Apply a change set with the exports of other stacks, and update the stack's outputs. Moto does neither.

    Moto does not know the deletion policy RetainExceptOnCreate, so it is replaced by Retain.
    """
    stack = change_set.stack
    for resource in change_set.template_dict["Resources"].values():
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
            resource["DeletionPolicy"] = "Retain"
    exports = cloudformation_backends[stack.account_id][stack.region_name].exports
    stack.resource_map.cross_stack_resources = exports
    stack.template_dict = change_set.template_dict
    _apply(change_set)
    stack.output_map = stack._create_output_map()
    exports.update({export.name: export for export in stack.exports})


@contextmanager
def emulated_aws() -> Iterator[str]:
    """Run an empty moto server, and yield its endpoint."""
    ChangeSet.apply = _apply_with_exports  # type: ignore[method-assign,assignment]
    try:
        with moto_server() as (host, port):
            forget_all((host, port))
            yield f"http://{host}:{port}"
    finally:
        ChangeSet.apply = _apply  # type: ignore[method-assign]
