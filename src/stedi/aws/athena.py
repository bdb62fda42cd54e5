"""Run a query on Athena, in the deployment's workgroup and within its scan limit."""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stedi.aws.clients import client, translate_errors
from stedi.errors import QueryError
from stedi.model.progress import Progress, Report

_POLL_SECONDS = 0.5
_MAX_REASON_LENGTH = 300
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


@dataclass(frozen=True)
class QueryResult:
    """Result of a query: columns, Athena's types, bytes scanned, execution time in ms, and rows as text."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    scanned_bytes: int
    milliseconds: int
    rows: Iterator[tuple[str | None, ...]] = field(repr=False)


def run_query(sql: str, *, workgroup: str, database: str, progress: Report) -> QueryResult:
    """Run a query and wait for it. An interrupt also stops the query.

    Args:
        sql: one statement in Athena's SQL.
        workgroup: the workgroup whose limit and result bucket apply.
        database: the database of tables that the query names without one.
        progress: receives the state of the query twice a second.

    Raises:
        QueryError: Athena refuses the query, it fails, or it would scan more than the workgroup allows.
        DeploymentError: AWS refuses a request or can't be reached.
    """
    athena = client("athena")
    with translate_errors("the query can't be started"):
        started = athena.start_query_execution(
            QueryString=sql, WorkGroup=workgroup, QueryExecutionContext={"Database": database}
        )
    query_id = started["QueryExecutionId"]
    execution = _wait(athena, query_id, progress)
    status = execution["Status"]
    if status["State"] != "SUCCEEDED":
        raise QueryError(failure_reason(status.get("StateChangeReason", ""), status["State"], workgroup, sql))
    with translate_errors("the query's result can't be read"):
        pages = iter(athena.get_paginator("get_query_results").paginate(QueryExecutionId=query_id))
        first = next(pages)
    columns = first["ResultSet"]["ResultSetMetadata"].get("ColumnInfo", [])
    names = tuple(column["Name"] for column in columns)
    statistics = execution.get("Statistics", {})
    return QueryResult(
        names,
        tuple(column["Type"] for column in columns),
        statistics.get("DataScannedInBytes", 0),
        statistics.get("TotalExecutionTimeInMillis", 0),
        _rows(names, first, pages),
    )


def _wait(athena: Any, query_id: str, progress: Report) -> Mapping[str, Any]:
    """Wait until a query has ended; stop it on any error or interrupt. Return its description."""
    has_ended = False
    try:
        with translate_errors("the query's state can't be read"):
            while True:
                execution: Mapping[str, Any] = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
                state = execution["Status"]["State"]
                if state in ("SUCCEEDED", "FAILED", "CANCELLED"):
                    has_ended = True
                    return execution
                scanned = execution.get("Statistics", {}).get("DataScannedInBytes", 0)
                progress(Progress(f"{state.lower()}, {scanned / 1e6:,.1f} MB scanned"))
                time.sleep(_POLL_SECONDS)
    finally:
        if not has_ended:
            with translate_errors("the query can't be stopped"):
                athena.stop_query_execution(QueryExecutionId=query_id)


def _rows(
    names: tuple[str, ...], first: Mapping[str, Any], pages: Iterator[Mapping[str, Any]]
) -> Iterator[tuple[str | None, ...]]:
    """Yield the rows of all pages, the next page only when it is needed."""
    page: Mapping[str, Any] | None = first
    # The first row of a SELECT's first page repeats the names of the columns. Other statements have no such row.
    may_be_header = True
    while page is not None:
        for row in page["ResultSet"]["Rows"]:
            values = tuple(cell.get("VarCharValue") for cell in row["Data"])
            if not (may_be_header and values == names):
                yield values
            may_be_header = False
        with translate_errors("the query's result can't be read"):
            page = next(pages, None)


def failure_reason(reason: str, state: str, workgroup: str, sql: str) -> str:
    """Say why a query failed, without data.

    Athena quotes the value that it failed on. A quoted text is kept only if the query contains it.
    """
    if "scan" in reason.lower() and "limit" in reason.lower():
        return (
            f"the query would scan more than workgroup {workgroup} allows; name fewer columns or days, "
            "or raise scan_limit_gb with `stedi aws deploy`"
        )
    safe = _QUOTED.sub(lambda quote: quote[0] if quote[0][1:-1] in sql else "…", " ".join(reason.split()))
    return f"Athena says {state.lower()}: {safe[:_MAX_REASON_LENGTH] or 'no reason given'}"
