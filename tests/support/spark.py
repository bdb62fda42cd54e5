"""Spark with settings for tiny data."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from stedi.compute.spark.session import start
from stedi.storage import WarehouseFolder
from tests.support.lake import Lake

# Shuffles are tiny, and generating code takes longer than running it.
_SETTINGS = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-XX:+UseSerialGC",
}
LIGHT = " ".join([*(f"--conf '{name}={value}'" for name, value in _SETTINGS.items()), "pyspark-shell"])


@contextmanager
def light_spark(folder: Path) -> Iterator[SparkSession]:
    """Start Spark. Every engine of this process then gets a session of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", LIGHT)
        spark = start(WarehouseFolder(folder))
    try:
        yield spark
    finally:
        spark.stop()


def with_engine(lake: Lake, engine: str) -> Lake:
    """Set the engine that computes the lake's tables. Return the lake."""
    lake.settings = lake.settings.model_copy(update={"engine": engine})
    return lake
