"""Ask Athena, in the deployment's workgroup and within its limit."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from stedi.aws.session import client, translate_errors
from stedi.errors import QueryError

_POLL_SECONDS = 0.5
_LONGEST_REASON = 300
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


@dataclass(frozen=True)
class Answer:
    """What Athena found: columns, and rows as text, page by page; what it scanned (bytes) and took (ms)."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    scanned_bytes: int
    milliseconds: int
    rows: Iterator[tuple[str | None, ...]] = field(repr=False)


def ask(sql: str, *, workgroup: str, database: str, progress: Callable[[str], None]) -> Answer:
    """Run a query and wait for it; one that is broken off is stopped.

    Raises:
        QueryError: Athena refuses the query, it fails, or it would scan more than the workgroup allows.
        DeploymentError: Athena can't be asked.
    """
    athena = client("athena")
    with translate_errors("the query can't be started"):
        started = athena.start_query_execution(
            QueryString=sql, WorkGroup=workgroup, QueryExecutionContext={"Database": database}
        )
    name = started["QueryExecutionId"]
    ended = False
    try:
        with translate_errors("the query can't be watched"):
            while True:
                found = athena.get_query_execution(QueryExecutionId=name)["QueryExecution"]
                state = found["Status"]["State"]
                if state in ("SUCCEEDED", "FAILED", "CANCELLED"):
                    ended = True
                    break
                scanned = found.get("Statistics", {}).get("DataScannedInBytes", 0)
                progress(f"{state.lower()}, {scanned / 1e6:,.1f} MB scanned …")
                time.sleep(_POLL_SECONDS)
    finally:
        if not ended:
            with translate_errors("the query can't be stopped"):
                athena.stop_query_execution(QueryExecutionId=name)
    if state != "SUCCEEDED":
        raise QueryError(_why(found["Status"].get("StateChangeReason", ""), state, workgroup, sql))
    statistics = found.get("Statistics", {})
    with translate_errors("the query's result can't be read"):
        pages = iter(athena.get_paginator("get_query_results").paginate(QueryExecutionId=name))
        first = next(pages)
    columns = first["ResultSet"]["ResultSetMetadata"].get("ColumnInfo", [])

    def rows() -> Iterator[tuple[str | None, ...]]:
        # The first row of a SELECT's first page repeats the names of the columns.
        names = [column["Name"] for column in columns]
        page, at_head = first, True
        while True:
            for row in page["ResultSet"]["Rows"]:
                values = tuple(cell.get("VarCharValue") for cell in row["Data"])
                if not (at_head and list(values) == names):
                    yield values
                at_head = False
            with translate_errors("the query's result can't be read"):
                following = next(pages, None)
            if following is None:
                return
            page = following

    return Answer(
        tuple(column["Name"] for column in columns),
        tuple(column["Type"] for column in columns),
        statistics.get("DataScannedInBytes", 0),
        statistics.get("TotalExecutionTimeInMillis", 0),
        rows(),
    )


def _why(reason: str, state: str, workgroup: str, sql: str) -> str:
    if "scan" in reason.lower() and "limit" in reason.lower():
        return (
            f"the query would scan more than workgroup {workgroup} allows; name fewer columns or days, "
            "or raise scan_limit_gb with `stedi aws deploy`"
        )
    # Athena quotes the value that it stumbled over; only what the query itself says is shown again.
    safe = _QUOTED.sub(lambda found: found[0] if found[0][1:-1] in sql else "…", " ".join(reason.split()))
    return f"Athena says {state.lower()}: {safe[:_LONGEST_REASON] or 'no reason given'}"
