"""Run the pipeline: ingest new landing files, refresh each table, check, commit, publish."""

from stedi.pipeline.pseudonym_key import pseudonym_key, query_parameters
from stedi.pipeline.report import RunReport, Status, TableReport
from stedi.pipeline.runner import run

__all__ = ["RunReport", "Status", "TableReport", "pseudonym_key", "query_parameters", "run"]
