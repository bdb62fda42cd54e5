"""The deployment on AWS, as a CDK app: `stedi aws synth` runs it, `stedi aws deploy` puts it in place."""
