"""Estimate the cost of the next run, of scanning the tables and of storage, from the sizes of files.

Default prices are AWS's list prices without tax in us-east-1 as of mid-2025.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stedi.aws.clients import client, translate_errors
from stedi.aws.executions import last_success
from stedi.aws.jobs import JOBS
from stedi.ingest.landing_file import is_landing_name
from stedi.storage.s3_objects import list_objects
from stedi.tables.landing.feeds import FEEDS

GLUE_USD_PER_DPU_HOUR = 0.44
ATHENA_USD_PER_TB = 5.0
STORAGE_USD_PER_GB_MONTH = 0.023
# Start of Spark, planning, commits. Glue bills by the second, at least 60 s per job. An estimate from local Spark: a run on
# 20.6 MB took 127 s of CPU time, and each job starts Spark again and does a part of that work.
_SECONDS_PER_JOB = 90
# Measured with local Spark on large files (docs/performance.md), not on Glue.
BYTES_PER_CORE_SECOND = 1_000_000
_CORES_PER_DPU = 4
# A DPU is 4 vCPUs with 16 GB. The number in a worker type's name is its DPUs.
_DPUS = {"G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8}


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of one run, and of scanning all tables once: bytes, seconds, US dollars."""

    landing_bytes: int
    new_bytes: int
    seconds: int
    dpu_hours: float
    run_usd: float
    table_bytes: int
    scan_usd: float
    storage_usd_a_month: float


def estimate(
    *,
    landing_bytes: int,
    new_bytes: int,
    table_bytes: int,
    worker_type: str,
    workers: int,
    dpu_price: float = GLUE_USD_PER_DPU_HOUR,
    scan_price: float = ATHENA_USD_PER_TB,
) -> Estimate:
    """Compute an estimate.

    One worker is the driver and computes nothing. Each job has a start-up time.

    Args:
        landing_bytes: size of all landing files.
        new_bytes: size of the landing files that the run will read.
        table_bytes: size of all tables.
        worker_type: Glue's worker type.
        workers: workers of a job, including the driver.
        dpu_price: US dollars per DPU-hour of Glue.
        scan_price: US dollars per terabyte scanned by Athena.
    """
    dpus = _DPUS[worker_type]
    cores = (workers - 1) * dpus * _CORES_PER_DPU
    seconds = len(JOBS) * _SECONDS_PER_JOB + new_bytes / (BYTES_PER_CORE_SECOND * cores)
    dpu_hours = seconds * workers * dpus / 3_600
    return Estimate(
        landing_bytes=landing_bytes,
        new_bytes=new_bytes,
        seconds=round(seconds),
        dpu_hours=round(dpu_hours, 3),
        run_usd=round(dpu_hours * dpu_price, 2),
        table_bytes=table_bytes,
        scan_usd=round(table_bytes / 1e12 * scan_price, 4),
        storage_usd_a_month=round((landing_bytes + table_bytes) / 1e9 * STORAGE_USD_PER_GB_MONTH, 2),
    )


def estimate_run(names: Mapping[str, str], *, stack: str, dpu_price: float, scan_price: float) -> Estimate:
    """Estimate the next run of a deployment from the objects in its buckets.

    Landing files are new if they arrived after the start of the last successful run; without such a run all are.

    Args:
        names: outputs of the deployment's stack.
        stack: name of the stack.
        dpu_price: US dollars per DPU-hour of Glue.
        scan_price: US dollars per terabyte scanned by Athena.

    Raises:
        DeploymentError: AWS refuses a request or can't be reached.
    """
    since = last_success(names["StateMachine"])
    landing = list(_landing_files(names["LandingBucket"]))
    prefix = names["Warehouse"].removeprefix(f"s3://{names['LakehouseBucket']}/")
    tables = sum(entry["Size"] for entry in _objects(names["LakehouseBucket"], f"{prefix}/stedi/"))
    with translate_errors("the size of the jobs can't be looked up"):
        job = client("glue").get_job(JobName=f"{stack}-{JOBS[0].name}")["Job"]
    return estimate(
        landing_bytes=sum(size for size, _ in landing),
        new_bytes=sum(size for size, modified in landing if since is None or modified > since),
        table_bytes=tables,
        worker_type=job["WorkerType"],
        workers=job["NumberOfWorkers"],
        dpu_price=dpu_price,
        scan_price=scan_price,
    )


def _landing_files(bucket: str) -> Iterator[tuple[int, datetime]]:
    for folder in (folder for feed in FEEDS for folder in feed.folders):
        for entry in _objects(bucket, f"{folder}/"):
            if is_landing_name(entry["Key"]):
                yield entry["Size"], entry["LastModified"]


def _objects(bucket: str, prefix: str) -> Iterator[Mapping[str, Any]]:
    with translate_errors(f"bucket {bucket} can't be listed"):
        yield from list_objects(client("s3"), bucket, prefix)
