"""STEDI: a consent-first sensor lakehouse, from landing files to curated Iceberg tables."""

__version__ = "0.1.0"
