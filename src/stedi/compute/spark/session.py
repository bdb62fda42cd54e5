"""Start a Spark session with the warehouse's catalog, and translate Spark's errors."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from py4j.java_gateway import JavaPackage
from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException, PySparkRuntimeError
from pyspark.sql import SparkSession

from stedi.errors import WarehouseError
from stedi.storage import Warehouse, WarehouseFolder
from stedi.storage.disk import umask_of
from stedi.storage.paths import location

# Glue 6.0 has Spark 4.1 and Iceberg 1.11. The version is pinned because `staging` uses internal classes of Iceberg.
JARS = ("org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.11.0",)
_JARS_FOR_FOLDERS = ("org.xerial:sqlite-jdbc:3.54.1.0",)
_JARS_FOR_S3 = ("org.apache.iceberg:iceberg-aws-bundle:1.11.0",)
CATALOG = "stedi"
# A run plans some hundred queries and ends before Java's optimizing compiler pays off: without it, 0.5 million records take
# 78 s of CPU time instead of 110 s. The code cache that Java then reserves is too small for so many classes, which would be
# compiled again and again.
_JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m"
_NEXT_STEP = "run again, and if it fails again, check the memory and the disk of Spark's driver and executors"


def start(warehouse: Warehouse) -> SparkSession:
    """Create a session in the running Spark, or start Spark with its own configuration and the settings below.

    Raises:
        WarehouseError: Java or jars are missing, or no master answers.
    """
    settings = {
        "spark.sql.session.timeZone": "UTC",
        # No table is in Hive.
        "spark.sql.catalogImplementation": "in-memory",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Spark logs the conditions of failed queries, which may contain personal data.
        "spark.log.level": "OFF",
    }
    jars = _jars(warehouse)
    if not _is_submitted():
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        # Executors read landing files with this package, so they need this Python.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        settings["spark.jars.packages"] = ",".join(jars)
        # Spark puts default options before the user's own, which therefore win.
        settings["spark.driver.defaultJavaOptions"] = _JAVA_OPTIONS
    builder = SparkSession.builder.appName("stedi")
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        # A new session, because another run in this process may use another warehouse.
        session = builder.getOrCreate().newSession()
    except PySparkRuntimeError as error:
        raise WarehouseError(
            f"Spark does not start; it needs Java 17 or 21 and the jars {', '.join(jars)}, "
            "which it fetches from Maven Central once (see Spark's messages above)"
        ) from error
    except Py4JError as error:
        raise WarehouseError(
            "Spark can't start a session on its configured master; check that the master (spark.master, in "
            "spark-defaults.conf or PYSPARK_SUBMIT_ARGS) can be reached from here"
        ) from error
    _require_jars(session, warehouse)
    for name, value in _catalog_settings(warehouse).items():
        session.conf.set(f"spark.sql.catalog.{CATALOG}{name}", value)
    # Java code looks up the catalog of a table in the thread's active session.
    jvm: Any = session._jvm
    jvm.org.apache.spark.sql.SparkSession.setActiveSession(session._jsparkSession)
    local = jvm.org.apache.hadoop.fs.FileSystem.getLocal(session.sparkContext._jsc.hadoopConfiguration())
    # Hadoop would write a checksum file for each local file, and an empty file for each success: orphan files. Parquet files
    # have their own checksums.
    local.setWriteChecksum(False)
    if isinstance(warehouse, WarehouseFolder):
        # Hadoop sets the permissions of local files itself. Only then are they those that the umask of this process gives.
        local.getConf().set("fs.permissions.umask-mode", f"{umask_of(warehouse.root):03o}")
    session.conf.set("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
    _set_partitions(session)
    return session


def _is_submitted() -> bool:
    """Whether Spark's launcher started Java, as on AWS Glue or by spark-submit. It then also provides the jars."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def _jars(warehouse: Warehouse) -> tuple[str, ...]:
    return JARS + (_JARS_FOR_FOLDERS if isinstance(warehouse, WarehouseFolder) else _JARS_FOR_S3)


def _require_jars(session: SparkSession, warehouse: Warehouse) -> None:
    """Raise WarehouseError if the running Spark lacks the jars of Iceberg, or those that reach the warehouse."""
    jvm: Any = session._jvm
    needed = [jvm.org.apache.iceberg.spark.SparkCatalog]
    needed.append(jvm.org.sqlite.JDBC if isinstance(warehouse, WarehouseFolder) else jvm.org.apache.iceberg.aws.s3.S3FileIO)
    # Py4J returns a package if a class does not exist.
    if any(isinstance(java_class, JavaPackage) for java_class in needed):
        raise WarehouseError(
            f"the running Spark lacks some of the jars {', '.join(_jars(warehouse))}; start it with them in "
            "spark.jars.packages, on AWS Glue with --datalake-formats iceberg"
        )


@contextmanager
def spark_errors() -> Iterator[None]:
    """Translate errors of Spark. The message has only the type of the error, because Spark's text may contain personal data.

    Raises:
        WarehouseError: Spark failed.
    """
    try:
        yield
    except PySparkException as error:
        raise WarehouseError(f"Spark failed: {error.getCondition() or type(error).__name__}; {_NEXT_STEP}") from error
    except Py4JJavaError as error:
        cause = error.java_exception
        while cause.getCause() is not None:
            cause = cause.getCause()
        raise WarehouseError(f"Spark failed: {_explain(cause)}") from error


def _explain(cause: Any) -> str:
    """Return the class of a Java exception, or the reason of an error of AWS, and what to do."""
    class_name = str(cause.getClass().getName())
    if not class_name.startswith("software.amazon.awssdk.services."):
        return f"{class_name}; {_NEXT_STEP}"
    from stedi.storage.aws_errors import WAREHOUSE_HINTS, explain_code

    details = cause.awsErrorDetails()
    return explain_code(str(details.errorCode() if details else cause.statusCode()), WAREHOUSE_HINTS)


def _set_partitions(session: SparkSession) -> None:
    """On one machine, shuffle into as many partitions as there are cores. Spark's default of 200 is for a cluster."""
    context = session.sparkContext
    if (context.master or "").startswith("local") and not context.getConf().contains("spark.sql.shuffle.partitions"):
        session.conf.set("spark.sql.shuffle.partitions", context.defaultParallelism)


def _catalog_settings(warehouse: Warehouse) -> dict[str, str]:
    """Return Spark's settings for the warehouse's catalog, by the end of their names."""
    settings = {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".warehouse": location(warehouse.path("")),
        # A cached table would miss the commits of the run, which PyIceberg makes.
        ".cache-enabled": "false",
    }
    if isinstance(warehouse, WarehouseFolder):
        return settings | {
            ".type": "jdbc",
            ".uri": f"jdbc:sqlite:{warehouse.path('catalog.db')}?busy_timeout=10000",
            ".jdbc.schema-version": "V1",
        }
    from stedi.storage.aws_client import ConnectionSettings

    # No credentials: Java finds them where Python does, and other users can read Spark's settings.
    glue, s3 = ConnectionSettings("glue", WarehouseError), ConnectionSettings("s3", WarehouseError)
    settings |= {
        ".type": "glue",
        ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        ".client.region": glue.region,
    }
    if glue.endpoint:
        settings[".glue.endpoint"] = glue.endpoint
    if s3.endpoint:
        # Few S3 stores besides AWS have a host name for each bucket.
        settings |= {".s3.endpoint": s3.endpoint, ".s3.path-style-access": "true"}
    return settings
