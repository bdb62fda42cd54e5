"""What a run will cost, estimated before it starts from what has arrived, and what reading the tables costs.

Prices are AWS's list prices without tax in us-east-1 as of mid-2025; another region's, or a discount, can be given.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stedi.aws.jobs import JOBS
from stedi.aws.runs import last_success
from stedi.aws.session import client, translate_errors
from stedi.ingest.landing_file import is_landing_name
from stedi.tables.landing.feeds import FEEDS

GLUE_USD_A_DPU_HOUR = 0.44
ATHENA_USD_A_TB = 5.0
STORAGE_USD_A_GB_MONTH = 0.023
# Start of Spark, a look at the tables, commits; Glue bills seconds, at least a minute. A guess from local Spark, which
# took 127 s of CPU time for a whole run on 20.6 MB: every job starts anew and does a part of it.
_SECONDS_A_JOB = 90
# Not measured on Glue: what local Spark does with large files is said in docs/performance.md.
BYTES_A_SECOND_AND_CORE = 1_000_000
_CORES_A_DPU = 4
# A DPU is 4 vCPUs with 16 GB; the number in the worker's name is how many of them it has.
_DPUS = {"G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8}


@dataclass(frozen=True)
class Estimate:
    """One run, and one look at everything, in bytes, seconds and US dollars."""

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
    dpu_price: float = GLUE_USD_A_DPU_HOUR,
    scan_price: float = ATHENA_USD_A_TB,
) -> Estimate:
    """Work the figures out: bytes in files and tables, Glue's workers, prices in US dollars.

    One worker leads the others and computes nothing. Every job pays for its start.
    """
    dpus = _DPUS[worker_type]
    cores = (workers - 1) * dpus * _CORES_A_DPU
    seconds = len(JOBS) * _SECONDS_A_JOB + new_bytes / (BYTES_A_SECOND_AND_CORE * cores)
    dpu_hours = seconds * workers * dpus / 3_600
    return Estimate(
        landing_bytes=landing_bytes,
        new_bytes=new_bytes,
        seconds=round(seconds),
        dpu_hours=round(dpu_hours, 3),
        run_usd=round(dpu_hours * dpu_price, 2),
        table_bytes=table_bytes,
        scan_usd=round(table_bytes / 1e12 * scan_price, 4),
        storage_usd_a_month=round((landing_bytes + table_bytes) / 1e9 * STORAGE_USD_A_GB_MONTH, 2),
    )


def estimate_run(names: Mapping[str, str], *, stack: str, dpu_price: float, scan_price: float) -> Estimate:
    """The estimate for a deployment, from what lies in its buckets; `names` are its stack's outputs.

    What arrived since the last good run began is new; before the first, everything is.

    Raises:
        DeploymentError: the buckets, runs or jobs can't be looked at.
    """
    since = last_success(names["StateMachine"])
    landing = list(_landing_files(names["LandingBucket"]))
    prefix = names["Warehouse"].removeprefix(f"s3://{names['LakehouseBucket']}/")
    tables = sum(entry["Size"] for entry in _objects(names["LakehouseBucket"], f"{prefix}/stedi/"))
    with translate_errors("the jobs' size can't be looked up"):
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


def _objects(bucket: str, prefix: str) -> Iterable[Mapping[str, Any]]:
    with translate_errors(f"bucket {bucket} can't be listed"):
        for page in client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from page.get("Contents", ())
