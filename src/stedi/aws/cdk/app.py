"""The CDK app: two stacks, from the context parameters that `stedi.aws.deployment` names. `stedi aws synth` runs it."""

from aws_cdk import App, BootstraplessSynthesizer

from stedi.aws.cdk.foundation import Foundation
from stedi.aws.cdk.lakehouse import Lakehouse
from stedi.aws.deployment import Deployment, load_deployment


def build(app: App, deployment: Deployment) -> tuple[Foundation, Lakehouse]:
    """Both stacks of a deployment. They need no bootstrapped account: nothing in them is a CDK asset."""
    # Access logs are let in by a bucket policy; bucket ACLs are off.
    app.node.set_context("@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy", True)
    foundation = Foundation(app, f"{deployment.stack}-foundation", synthesizer=BootstraplessSynthesizer())
    lakehouse = Lakehouse(
        app, deployment.stack, deployment=deployment, foundation=foundation, synthesizer=BootstraplessSynthesizer()
    )
    return foundation, lakehouse


if __name__ == "__main__":
    app = App()
    given = {name: app.node.try_get_context(name) for name in Deployment.model_fields}
    build(app, load_deployment({name: value for name, value in given.items() if value is not None}))
    app.synth()
