"""The CDK app of the deployment on AWS: `stedi aws synth` runs it, `stedi aws deploy` deploys its templates."""
