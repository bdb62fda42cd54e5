"""Spark as light as it can be: it takes seconds to start."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from stedi.compute.spark.session import start
from stedi.storage import WarehouseFolder
from tests.support.lake import Lake

# What is shuffled here is tiny, and compiling it costs more than running it.
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
    """A running Spark, in which every engine of this process gets a session of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", LIGHT)
        spark = start(WarehouseFolder(folder))
    try:
        yield spark
    finally:
        spark.stop()


def on(lake: Lake, engine: str) -> Lake:
    """The lake, whose tables an engine computes from now on."""
    lake.settings = lake.settings.model_copy(update={"engine": engine})
    return lake
