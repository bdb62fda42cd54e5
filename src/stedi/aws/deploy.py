"""Deploy to AWS, and remove a deployment: templates, code, stacks, and the data that stays without them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stedi.aws import stacks
from stedi.aws.clients import client, region, translate_errors
from stedi.aws.executions import is_running
from stedi.aws.parameters import DeploymentParameters
from stedi.aws.release import release_files, release_name
from stedi.aws.templates import synthesise
from stedi.errors import DeploymentError
from stedi.model.progress import Progress, Report

# Days until a KMS key is deleted, the shortest that AWS allows. Until then the deletion can be cancelled.
_KEY_DAYS = 7


@dataclass(frozen=True)
class Deployed:
    """Result of a deployment: changed resources by stack, and the outputs of the lakehouse's stack."""

    changed: tuple[tuple[str, int], ...]
    outputs: dict[str, str]


def deploy(
    deployment: DeploymentParameters,
    *,
    administrator: str | None,
    confirm: Callable[[stacks.Change], bool],
    progress: Report,
) -> Deployed:
    """Create or update both stacks, and upload the code of the jobs.

    Args:
        deployment: the parameters.
        administrator: ARN of the role or user that administers Lake Formation. By default that of the last
            deployment, and for the first one the caller.
        confirm: is called with each change before it is made. If it returns False, the deployment stops.
        progress: receives each step.

    Raises:
        DeploymentError: AWS refuses a request, a stack fails, or a change is not confirmed. Finished steps stay, and
            deploying again continues after them.
    """
    administrator = administrator or _administrator_of(deployment.stack) or _caller()
    changed: list[tuple[str, int]] = []

    def update(stack: str, template: Path, parameters: dict[str, str], template_url: str | None = None) -> None:
        change = stacks.plan(stack, template.read_text("utf-8"), parameters, template_url=template_url, progress=progress)
        if change is None:
            return
        if not confirm(change):
            stacks.discard(change)
            raise DeploymentError(
                f"the change was not confirmed, and stack {stack} is as before; run `stedi aws deploy` again to continue"
            )
        stacks.execute(change, progress)
        changed.append((stack, len(change.resources)))

    with TemporaryDirectory(prefix="stedi-deploy-") as folder:
        progress(Progress("making templates"))
        foundation_template, template = synthesise(deployment, Path(folder) / "templates")
        foundation = f"{deployment.stack}-foundation"
        update(foundation, foundation_template, {})
        artefacts = stacks.outputs(foundation)["ArtefactsBucket"]
        files = release_files()
        release = release_name(files)
        template_key = f"templates/{release}.json"
        uploads = {f"releases/{release}/{name}": content for name, content in files.items()}
        uploads[template_key] = template.read_bytes()
        with translate_errors(f"the release can't be put in bucket {artefacts}"):
            s3 = client("s3")
            for key, content in uploads.items():
                progress(Progress(f"uploading {key}"))
                s3.put_object(Bucket=artefacts, Key=key, Body=content)
        url = f"https://{artefacts}.s3.{region()}.amazonaws.com/{template_key}"
        update(deployment.stack, template, {"Administrator": administrator, "Release": release}, url)
    return Deployed(tuple(changed), stacks.outputs(deployment.stack))


def deployed_parameters(stack: str) -> dict[str, Any]:
    """Return the parameters of a deployed stack; none if there is no such stack.

    Raises:
        DeploymentError: AWS refuses a request or can't be reached.
    """
    outputs = (stacks.find(stack) or {}).get("Outputs", ())
    parameters: dict[str, Any] = json.loads(
        next((output["OutputValue"] for output in outputs if output["OutputKey"] == "Parameters"), "{}")
    )
    return parameters


def _administrator_of(stack: str) -> str | None:
    parameters = (stacks.find(stack) or {}).get("Parameters", ())
    return next((p["ParameterValue"] for p in parameters if p["ParameterKey"] == "Administrator"), None)


def _caller() -> str:
    """Return the ARN of the caller's role or user."""
    with translate_errors("the caller's identity can't be looked up"):
        arn = str(client("sts").get_caller_identity()["Arn"])
        if ":assumed-role/" not in arn:
            return arn
        # The ARN of a session lacks the role's path.
        role = arn.split("/")[1]
        return str(client("iam").get_role(RoleName=role)["Role"]["Arn"])


def destroy(stack: str, *, delete_data: bool, progress: Report) -> tuple[str, ...]:
    """Remove both stacks. Return the buckets, secrets and keys that are left.

    Args:
        stack: name of the stack.
        delete_data: whether to delete landing files, tables and their keys, too.
        progress: receives each step.

    Raises:
        DeploymentError: there is no such stack, a run is working, or AWS refuses a request. Destroying again continues.
    """
    foundation = f"{stack}-foundation"
    lakehouse, base = stacks.find(stack), stacks.find(foundation)
    if lakehouse is None and base is None:
        raise DeploymentError(f"there is no stack {stack} in {region()}; name another with AWS_DEFAULT_REGION or --stack")
    names = stacks.outputs(stack) if lakehouse and "Outputs" in lakehouse else {}
    if names and is_running(names["StateMachine"]):
        raise DeploymentError(f"a run of stack {stack} is working; wait for it to end (see `stedi aws status`)")
    data = [names[name] for name in ("LandingBucket", "LakehouseBucket") if name in names]
    if names:
        # The slow steps come first, while the stack still has its outputs, so that an interrupted removal can continue.
        if delete_data and "LakehouseBucket" in names:
            # Its policy keeps everybody from deleting certificates.
            with translate_errors(f"the policy of bucket {names['LakehouseBucket']} can't be deleted"):
                client("s3").delete_bucket_policy(Bucket=names["LakehouseBucket"])
        for bucket in (names["ResultsBucket"], *(data if delete_data else ())):
            _empty(bucket, progress)
    stacks.remove(stack, progress)
    secrets = [names[name] for name in ("PseudonymKey", "SuppressionKey", "SigningKey") if name in names]
    left = [*data, *secrets, names["DataKey"]] if names else []
    if names and delete_data:
        for bucket in data:
            with translate_errors(f"bucket {bucket} can't be deleted"):
                client("s3").delete_bucket(Bucket=bucket)
        for secret in secrets:
            with translate_errors(f"the secret {secret} can't be deleted"):
                client("secretsmanager").delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
        with translate_errors(f"the key {names['DataKey']} can't be deleted"):
            client("kms").schedule_key_deletion(KeyId=names["DataKey"], PendingWindowInDays=_KEY_DAYS)
        left = []
    for output in (base or {}).get("Outputs", ()):
        if output["OutputKey"].endswith("Bucket"):
            _empty(output["OutputValue"], progress)
    stacks.remove(foundation, progress)
    return tuple(left)


def _empty(bucket: str, progress: Report) -> None:
    """Delete all versions of all objects of a bucket."""
    with translate_errors(f"bucket {bucket} can't be emptied"):
        s3, deleted = client("s3"), 0
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            objects = [
                {"Key": entry["Key"], "VersionId": entry["VersionId"]}
                for group in ("Versions", "DeleteMarkers")
                for entry in page.get(group, ())
            ]
            if objects:
                errors = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True}).get("Errors")
                if errors:
                    raise DeploymentError(
                        f"bucket {bucket} can't be emptied: {len(errors)} objects are left; run `stedi aws destroy` again"
                    )
                deleted += len(objects)
                progress(Progress(f"bucket {bucket}: {deleted:,} objects deleted"))
