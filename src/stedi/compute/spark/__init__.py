"""Spark: the backend for more data than one machine can process. The only folder that imports Spark."""

from stedi.compute.spark.backend import SparkBackend

__all__ = ["SparkBackend"]
