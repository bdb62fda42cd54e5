"""Move data along the line: ingest what is new, refresh each table, check, commit, report."""

from stedi.pipeline.report import RunReport, TableReport
from stedi.pipeline.runner import Progress, pseudonym_key, query_parameters, run

__all__ = ["Progress", "RunReport", "TableReport", "pseudonym_key", "query_parameters", "run"]
