"""Put a deployment in place, and remove it: templates, code, stacks, and what outlives them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from stedi.aws import stacks
from stedi.aws.deployment import Deployment
from stedi.aws.project import build_release, release_name, synthesise
from stedi.aws.runs import is_running
from stedi.aws.session import client, plain_errors, region
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

    `administrator` is the ARN of the role or user that administers Lake Formation, who asks where it is not given.
    `confirm` is shown every change before it is made.

    Raises:
        DeploymentError: something is refused or fails; what was done before stays, and can be done again.
    """
    administrator = administrator or _identity()
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
        release = release_name()
        progress("building the wheel …")
        files = {f"releases/{release}/{name}": path for name, path in build_release(Path(folder)).items()}
        template = f"templates/{release}.json"
        files[template] = second
        with plain_errors(f"the release can't be put in bucket {artefacts}"):
            s3 = client("s3")
            for key, path in files.items():
                progress(f"uploading {key} …")
                s3.upload_file(str(path), artefacts, key)
        url = f"https://{artefacts}.s3.{region()}.amazonaws.com/{template}"
        put(deployment.stack, second, {"Administrator": administrator, "Release": release}, url)
    return Deployed(tuple(changed), stacks.outputs(deployment.stack))


def _identity() -> str:
    """The ARN of the role or user whose credentials these are."""
    with plain_errors("AWS can't be asked who this is"):
        arn = str(client("sts").get_caller_identity()["Arn"])
        if ":assumed-role/" not in arn:
            return arn
        # The session's ARN leaves out the role's path.
        role = arn.split("/")[1]
        return str(client("iam").get_role(RoleName=role)["Role"]["Arn"])


def kept_by(stack: str) -> tuple[str, ...]:
    """What outlives the stack unless data is deleted too: its buckets, in words."""
    found = stacks.outputs(stack)
    return found["LandingBucket"], found["LakehouseBucket"]


def destroy(stack: str, *, delete_data: bool, progress: Progress) -> tuple[str, ...]:
    """Remove both stacks; landing files, tables and their keys only with `delete_data`. Returns what is left.

    Raises:
        DeploymentError: a run is at work, or something can't be removed; run again to go on.
    """
    found = stacks.find(stack)
    names = stacks.outputs(stack) if found and "Outputs" in found else {}
    if names and is_running(names["StateMachine"]):
        raise DeploymentError(f"a run of stack {stack} is at work; wait for it to end (`stedi aws status`)")
    if names:
        _empty(names["ResultsBucket"], progress)
    stacks.remove(stack, progress)
    left = [names[name] for name in ("LandingBucket", "LakehouseBucket", "PseudonymKey", "DataKey") if name in names]
    if delete_data and names:
        for name in ("LandingBucket", "LakehouseBucket"):
            _empty(names[name], progress)
            with plain_errors(f"bucket {names[name]} can't be deleted"):
                client("s3").delete_bucket(Bucket=names[name])
        with plain_errors("the pseudonym key can't be deleted"):
            client("secretsmanager").delete_secret(SecretId=names["PseudonymKey"], ForceDeleteWithoutRecovery=True)
        with plain_errors("the data key can't be deleted"):
            client("kms").schedule_key_deletion(KeyId=names["DataKey"], PendingWindowInDays=_KEY_DAYS)
        left = []
    foundation = f"{stack}-foundation"
    found = stacks.find(foundation)
    for output in (found or {}).get("Outputs", ()):
        if output["OutputKey"].endswith("Bucket"):
            _empty(output["OutputValue"], progress)
    stacks.remove(foundation, progress)
    return tuple(left)


def _empty(bucket: str, progress: Progress) -> None:
    """Delete every version of every object of a bucket."""
    with plain_errors(f"bucket {bucket} can't be emptied"):
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
