"""The CDK app: two stacks from the context parameters in `stedi.aws.parameters`. `stedi aws synth` runs it."""

from aws_cdk import App, BootstraplessSynthesizer

from stedi.aws.cdk.foundation import Foundation
from stedi.aws.cdk.lakehouse import Lakehouse
from stedi.aws.parameters import DeploymentParameters, load_parameters


def build(app: App, deployment: DeploymentParameters) -> tuple[Foundation, Lakehouse]:
    """Build both stacks of a deployment. They contain no CDK assets, so the account needs no bootstrapping."""
    # A bucket policy allows the delivery of access logs, because bucket ACLs are off.
    app.node.set_context("@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy", True)
    foundation = Foundation(app, f"{deployment.stack}-foundation", synthesizer=BootstraplessSynthesizer())
    lakehouse = Lakehouse(
        app, deployment.stack, deployment=deployment, foundation=foundation, synthesizer=BootstraplessSynthesizer()
    )
    return foundation, lakehouse


if __name__ == "__main__":
    app = App()
    given = {name: app.node.try_get_context(name) for name in DeploymentParameters.model_fields}
    build(app, load_parameters({name: value for name, value in given.items() if value is not None}))
    app.synth()
