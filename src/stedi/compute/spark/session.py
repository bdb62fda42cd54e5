"""A Spark session that knows the warehouse's catalog."""

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
from stedi.storage.paths import location

# Glue 6.0 has Spark 4.1 and Iceberg 1.11. Files are staged with classes that Iceberg calls its own.
JARS = ("org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.11.0",)
_JARS_FOR_FOLDERS = ("org.xerial:sqlite-jdbc:3.54.1.0",)
_JARS_FOR_S3 = ("org.apache.iceberg:iceberg-aws-bundle:1.11.0",)
CATALOG = "stedi"
# A run plans some hundred queries, most of them new to Java, and is over before the slow of its two compilers
# pays: without it, 0.5 million records take 78 s of CPU time instead of 110. Code that the other made for so
# many classes does not fit in what it gets by itself, and would be thrown away and made again.
_JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m"


def start(warehouse: Warehouse) -> SparkSession:
    """A session in the running Spark, or in a new one as Spark's own configuration says, but for what is set here.

    Raises:
        WarehouseError: there is no Java, the jars can't be had, the running Spark lacks them, or no master answers.
    """
    settings = {
        "spark.sql.session.timeZone": "UTC",
        # Our times are counted in milliseconds; nothing here is written for Hive.
        "spark.sql.catalogImplementation": "in-memory",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Data must not reach the log, where Spark puts the conditions of failed queries.
        "spark.log.level": "OFF",
    }
    jars = _jars(warehouse)
    if not _is_submitted():
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        # Executors read landing files with this package, so they need the Python that has it.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        settings["spark.jars.packages"] = ",".join(jars)
        # These stand before what the user's own configuration says of Java, which so has the last word.
        settings["spark.driver.defaultJavaOptions"] = _JAVA_OPTIONS
    builder = SparkSession.builder.appName("stedi")
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        # A session of its own: another run of this process may be at another warehouse.
        session = builder.getOrCreate().newSession()
    except PySparkRuntimeError as error:
        raise WarehouseError(
            f"Spark does not start; it needs Java 17 or 21 and the jars {', '.join(jars)}, "
            "which it fetches from Maven Central once (what it says of it stands above)"
        ) from error
    except Py4JError as error:
        raise WarehouseError(
            "Spark does not start a session where its configuration says; check that its master (spark.master, in "
            "spark-defaults.conf or PYSPARK_SUBMIT_ARGS) can be reached from here"
        ) from error
    _require(session, warehouse)
    for name, value in _catalog_settings(warehouse).items():
        session.conf.set(f"spark.sql.catalog.{CATALOG}{name}", value)
    # Where Spark is asked for a table in Java, it looks up the catalog in the thread's session.
    jvm: Any = session._jvm
    jvm.org.apache.spark.sql.SparkSession.setActiveSession(session._jsparkSession)
    # Hadoop would put a file of checksums beside each local file, and an empty one for each success; nothing
    # names either, and Parquet has its own checksums.
    jvm.org.apache.hadoop.fs.FileSystem.getLocal(session.sparkContext._jsc.hadoopConfiguration()).setWriteChecksum(False)
    session.conf.set("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
    _fit(session)
    return session


def _is_submitted() -> bool:
    """Whether Spark's launcher started Java, as on AWS Glue and by spark-submit: jars are then its business."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def _jars(warehouse: Warehouse) -> tuple[str, ...]:
    return JARS + (_JARS_FOR_FOLDERS if isinstance(warehouse, WarehouseFolder) else _JARS_FOR_S3)


def _require(session: SparkSession, warehouse: Warehouse) -> None:
    """Find out in time that the running Spark lacks Iceberg, or its way to the warehouse."""
    jvm: Any = session._jvm
    needed = [jvm.org.apache.iceberg.spark.SparkCatalog]
    needed.append(jvm.org.sqlite.JDBC if isinstance(warehouse, WarehouseFolder) else jvm.org.apache.iceberg.aws.s3.S3FileIO)
    # What Java does not find, it takes for the name of a package.
    if any(isinstance(found, JavaPackage) for found in needed):
        raise WarehouseError(
            f"the running Spark lacks some of the jars {', '.join(_jars(warehouse))}; start it with them in "
            "spark.jars.packages, on AWS Glue with --datalake-formats iceberg"
        )


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
        raise WarehouseError(f"Spark failed: {_told(cause)}") from error


def _told(cause: Any) -> str:
    """What kind of failure an exception of Java's is; where AWS refused, what to do."""
    kind = str(cause.getClass().getName())
    if not kind.startswith("software.amazon.awssdk.services."):
        return kind
    from stedi.storage.aws_errors import WAREHOUSE_HINTS, explain_code

    details = cause.awsErrorDetails()
    return explain_code(str(details.errorCode() if details else cause.statusCode()), WAREHOUSE_HINTS)


def _fit(session: SparkSession) -> None:
    """On one machine shuffle into as many parts as have cores; Spark's 200 are for a cluster, and take their time each."""
    context = session.sparkContext
    if (context.master or "").startswith("local") and not context.getConf().contains("spark.sql.shuffle.partitions"):
        session.conf.set("spark.sql.shuffle.partitions", context.defaultParallelism)


def _catalog_settings(warehouse: Warehouse) -> dict[str, str]:
    """What has Spark read the catalog that commits go to, by the end of the setting's name."""
    settings = {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".warehouse": location(warehouse.path("")),
        # A remembered table would miss the commits of a run, which are made beside Spark.
        ".cache-enabled": "false",
    }
    if isinstance(warehouse, WarehouseFolder):
        return settings | {
            ".type": "jdbc",
            ".uri": f"jdbc:sqlite:{warehouse.path('catalog.db')}?busy_timeout=10000",
            ".jdbc.schema-version": "V1",
        }
    from stedi.storage.aws_client import ConnectionSettings

    # Credentials are not told: Java finds them where Python does, and settings can be read by others.
    glue, s3 = ConnectionSettings("glue", WarehouseError), ConnectionSettings("s3", WarehouseError)
    settings |= {
        ".type": "glue",
        ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        ".client.region": glue.region,
    }
    if glue.endpoint:
        settings[".glue.endpoint"] = glue.endpoint
    if s3.endpoint:
        # Stores that are not AWS rarely give each bucket a host name.
        settings |= {".s3.endpoint": s3.endpoint, ".s3.path-style-access": "true"}
    return settings
