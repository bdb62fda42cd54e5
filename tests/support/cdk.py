"""CloudFormation templates, synthesised in this process. The CDK takes ten seconds of CPU time to start."""

import os
import shutil
from pathlib import Path
from typing import Any

from stedi.aws.parameters import DeploymentParameters
from stedi.aws.templates import node


def new_app(folder: Path) -> Any:
    """Return a CDK app. The CDK is imported here, because importing it starts Node.js."""
    cache = "enabled" if os.access(Path.home(), os.W_OK) else "disabled"
    os.environ |= {"JSII_NODE": str(node()), "JSII_RUNTIME_PACKAGE_CACHE": cache}
    from aws_cdk import App

    return App(outdir=str(folder))


def synthesise_checked(app: Any) -> Path:
    """Synthesise an app, and check it with cdk-nag, which raises on a finding. Return the folder of the assembly."""
    from aws_cdk import Validations
    from cdk_nag import AwsSolutionsChecks

    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return Path(app.synth().directory)


class Templates:
    """Templates of deployments, each synthesised once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._assemblies: dict[DeploymentParameters, Path] = {}

    def assembly(self, deployment: DeploymentParameters) -> Path:
        """Return the folder of a deployment's assembly."""
        if deployment not in self._assemblies:
            app = new_app(self._folder / str(len(self._assemblies)))
            from stedi.aws.cdk.app import build

            build(app, deployment)
            self._assemblies[deployment] = synthesise_checked(app)
        return self._assemblies[deployment]

    def synthesise(self, deployment: DeploymentParameters, out: Path) -> list[Path]:
        """Write both templates to a folder, as `stedi.aws.templates.synthesise` does."""
        out.mkdir(parents=True, exist_ok=True)
        names = [f"{name}.template.json" for name in (f"{deployment.stack}-foundation", deployment.stack)]
        return [Path(shutil.copy(self.assembly(deployment) / name, out)) for name in names]

    def use(self, patch: Any) -> None:
        """Make `deploy` use these templates."""
        patch.setattr("stedi.aws.deploy.synthesise", self.synthesise)
