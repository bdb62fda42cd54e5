"""One Spark for the tests of a module, as light as it can be: it takes seconds to start."""

import shutil
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from stedi.engines.spark.session import start
from stedi.warehouse import WarehouseFolder
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


def require_java() -> None:
    """Leave a module out where there is no Java."""
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", LIGHT)
        spark = start(WarehouseFolder(tmp_path_factory.mktemp("nothing")))
    yield spark
    spark.stop()


def on(lake: Lake, engine: str) -> Lake:
    lake.settings = lake.settings.model_copy(update={"engine": engine})
    return lake
