"""Spark: the backend for more data than one machine computes. The only folder that imports Spark."""

from stedi.compute.spark.backend import SparkBackend

__all__ = ["SparkBackend"]
