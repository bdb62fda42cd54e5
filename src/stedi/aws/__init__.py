"""STEDI on AWS: its Glue jobs, and the deployment that `stedi aws` makes and asks."""
