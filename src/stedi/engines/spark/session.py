"""A Spark session that knows the warehouse's catalog."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException, PySparkRuntimeError
from pyspark.sql import SparkSession

from stedi.errors import WarehouseError

# Glue 6.0 has Spark 4.1 and Iceberg 1.11. Files are staged with classes that Iceberg calls its own.
JARS = ("org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.11.0", "org.xerial:sqlite-jdbc:3.54.1.0")
CATALOG = "stedi"


def start(warehouse: Path) -> SparkSession:
    """A session in the running Spark, or in a new one as Spark's own configuration says, but for what is set here.

    Raises:
        WarehouseError: there is no Java, or the jars can't be had.
    """
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    # Executors read landing files with this package, so they need the Python that has it.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = {
        "spark.jars.packages": ",".join(JARS),
        "spark.sql.session.timeZone": "UTC",
        # Our times are counted in milliseconds; nothing here is written for Hive.
        "spark.sql.catalogImplementation": "in-memory",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Data must not reach the log, where Spark puts the conditions of failed queries.
        "spark.log.level": "OFF",
    }
    builder = SparkSession.builder.appName("stedi")
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        # A session of its own: another run of this process may be at another warehouse.
        session = builder.getOrCreate().newSession()
        _add_catalog(session, warehouse)
        _fit(session)
    except PySparkRuntimeError as error:
        raise WarehouseError(
            f"Spark does not start; it needs Java 17 or 21 and the jars {', '.join(JARS)}, "
            "which it fetches from Maven Central once (what it says of it stands above)"
        ) from error
    return session


@contextmanager
def spark_errors() -> Iterator[None]:
    """Say in one line that Spark failed, and of what kind the failure is; its own text may hold data.

    Raises:
        WarehouseError: Spark, or what it runs in Java, failed.
    """
    try:
        yield
    except PySparkException as error:
        raise WarehouseError(f"Spark failed: {error.getCondition() or type(error).__name__}") from error
    except Py4JJavaError as error:
        cause = error.java_exception
        while cause.getCause() is not None:
            cause = cause.getCause()
        raise WarehouseError(f"Spark failed: {cause.getClass().getName()}") from error


def _fit(session: SparkSession) -> None:
    """On one machine shuffle into as many parts as have cores; Spark's 200 are for a cluster, and take their time each."""
    context = session.sparkContext
    if (context.master or "").startswith("local") and not context.getConf().contains("spark.sql.shuffle.partitions"):
        session.conf.set("spark.sql.shuffle.partitions", context.defaultParallelism)


def _add_catalog(session: SparkSession, warehouse: Path) -> None:
    """Have Spark read the catalog beside the data, the one that commits go to."""
    prefix = f"spark.sql.catalog.{CATALOG}"
    for name, value in {
        prefix: "org.apache.iceberg.spark.SparkCatalog",
        f"{prefix}.type": "jdbc",
        f"{prefix}.uri": f"jdbc:sqlite:{warehouse}/catalog.db?busy_timeout=10000",
        f"{prefix}.jdbc.schema-version": "V1",
        f"{prefix}.warehouse": f"file://{warehouse}",
        # A remembered table would miss the commits of a run, which are made beside Spark.
        f"{prefix}.cache-enabled": "false",
    }.items():
        session.conf.set(name, value)
