"""Compute: the interface of a backend, its two implementations, and incremental refresh on both."""

from stedi.compute.backend import Backend, Ingested

__all__ = ["Backend", "Ingested"]
