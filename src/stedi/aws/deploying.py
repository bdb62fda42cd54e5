"""Put a deployment in place, and remove it: templates, code, stacks, and what outlives them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stedi.aws import stacks
from stedi.aws.deployment import Deployment
from stedi.aws.release import release_files, release_name
from stedi.aws.runs import is_running
from stedi.aws.session import client, region, translate_errors
from stedi.aws.templates import synthesise
from stedi.errors import DeploymentError

Progress = Callable[[str], None]

# The shortest that AWS allows; until then the deletion can be taken back.
_KEY_DAYS = 7


@dataclass(frozen=True)
class Deployed:
    """What a deployment changed: (stack, resources changed), and what the lakehouse's stack says of itself."""

    changed: tuple[tuple[str, int], ...]
    outputs: dict[str, str]


def deploy(
    deployment: Deployment,
    *,
    administrator: str | None,
    confirm: Callable[[stacks.Change], bool],
    progress: Progress,
) -> Deployed:
    """Make or change both stacks, and put the code where its jobs find it.

    `administrator` is the ARN of the role or user that administers Lake Formation: where it is not given, the one
    that it was before, and at first who asks.
    `confirm` is shown every change before it is made.

    Raises:
        DeploymentError: something is refused or fails; what was done before stays, and can be done again.
    """
    administrator = administrator or _administrator_of(deployment.stack) or _identity()
    changed: list[tuple[str, int]] = []

    def put(stack: str, template: Path, parameters: dict[str, str], stored_at: str | None = None) -> None:
        change = stacks.plan(stack, template.read_text("utf-8"), parameters, stored_at=stored_at, progress=progress)
        if change is None:
            return
        if not confirm(change):
            stacks.forget(change)
            raise DeploymentError(f"stack {stack} is as it was; run again to go on")
        stacks.make(change, progress)
        changed.append((stack, len(change.resources)))

    with TemporaryDirectory(prefix="stedi-deploy-") as folder:
        progress("making templates …")
        first, second = synthesise(deployment, Path(folder) / "templates")
        foundation = f"{deployment.stack}-foundation"
        put(foundation, first, {})
        artefacts = stacks.outputs(foundation)["ArtefactsBucket"]
        files = release_files()
        release = release_name(files)
        template = f"templates/{release}.json"
        uploads = {f"releases/{release}/{name}": content for name, content in files.items()}
        uploads[template] = second.read_bytes()
        with translate_errors(f"the release can't be put in bucket {artefacts}"):
            s3 = client("s3")
            for key, content in uploads.items():
                progress(f"uploading {key} …")
                s3.put_object(Bucket=artefacts, Key=key, Body=content)
        url = f"https://{artefacts}.s3.{region()}.amazonaws.com/{template}"
        put(deployment.stack, second, {"Administrator": administrator, "Release": release}, url)
    return Deployed(tuple(changed), stacks.outputs(deployment.stack))


def parameters_of(stack: str) -> dict[str, Any]:
    """The parameters with which a stack was deployed, none where it was not.

    Raises:
        DeploymentError: CloudFormation can't be asked.
    """
    found = stacks.find(stack) or {}
    said = next((o["OutputValue"] for o in found.get("Outputs", ()) if o["OutputKey"] == "Parameters"), "{}")
    known: dict[str, Any] = json.loads(said)
    return known


def _administrator_of(stack: str) -> str | None:
    given = (stacks.find(stack) or {}).get("Parameters", ())
    return next((p["ParameterValue"] for p in given if p["ParameterKey"] == "Administrator"), None)


def _identity() -> str:
    """The ARN of the role or user whose credentials these are."""
    with translate_errors("AWS can't be asked who this is"):
        arn = str(client("sts").get_caller_identity()["Arn"])
        if ":assumed-role/" not in arn:
            return arn
        # The session's ARN leaves out the role's path.
        role = arn.split("/")[1]
        return str(client("iam").get_role(RoleName=role)["Role"]["Arn"])


def destroy(stack: str, *, delete_data: bool, progress: Progress) -> tuple[str, ...]:
    """Remove both stacks; landing files, tables and their keys only with `delete_data`. Returns what is left.

    Raises:
        DeploymentError: a run is at work, or something can't be removed; run again to go on.
    """
    foundation = f"{stack}-foundation"
    found, base = stacks.find(stack), stacks.find(foundation)
    if found is None and base is None:
        raise DeploymentError(f"no stack {stack} is in {region()}; AWS_DEFAULT_REGION and --stack name another")
    names = stacks.outputs(stack) if found and "Outputs" in found else {}
    if names and is_running(names["StateMachine"]):
        raise DeploymentError(f"a run of stack {stack} is at work; wait for it to end (`stedi aws status`)")
    data = [names[name] for name in ("LandingBucket", "LakehouseBucket") if name in names]
    if names:
        # What takes long comes first, while the stack still says what there is: one that breaks off can go on.
        for bucket in (names["ResultsBucket"], *(data if delete_data else ())):
            _empty(bucket, progress)
    stacks.remove(stack, progress)
    left = [*data, names["PseudonymKey"], names["DataKey"]] if names else []
    if names and delete_data:
        for bucket in data:
            with translate_errors(f"bucket {bucket} can't be deleted"):
                client("s3").delete_bucket(Bucket=bucket)
        with translate_errors(f"the secret {names['PseudonymKey']} can't be deleted"):
            client("secretsmanager").delete_secret(SecretId=names["PseudonymKey"], ForceDeleteWithoutRecovery=True)
        with translate_errors(f"the key {names['DataKey']} can't be deleted"):
            client("kms").schedule_key_deletion(KeyId=names["DataKey"], PendingWindowInDays=_KEY_DAYS)
        left = []
    for output in (base or {}).get("Outputs", ()):
        if output["OutputKey"].endswith("Bucket"):
            _empty(output["OutputValue"], progress)
    stacks.remove(foundation, progress)
    return tuple(left)


def _empty(bucket: str, progress: Progress) -> None:
    """Delete every version of every object of a bucket."""
    with translate_errors(f"bucket {bucket} can't be emptied"):
        s3, deleted = client("s3"), 0
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            objects = [
                {"Key": entry["Key"], "VersionId": entry["VersionId"]}
                for kind in ("Versions", "DeleteMarkers")
                for entry in page.get(kind, ())
            ]
            if objects:
                failed = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True}).get("Errors")
                if failed:
                    raise DeploymentError(f"bucket {bucket} can't be emptied: {len(failed)} objects are refused")
                deleted += len(objects)
                progress(f"bucket {bucket}: {deleted:,} objects deleted …")
