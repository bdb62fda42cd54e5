"""STEDI on AWS: Glue jobs, and the deployment that `stedi aws` creates and uses."""
