"""Spark: the same tables where one machine is not enough. The only folder that imports it."""

from stedi.compute.spark.engine import SparkEngine

__all__ = ["SparkEngine"]
