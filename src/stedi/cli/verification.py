"""The command that verifies the tables."""

from dataclasses import asdict

from stedi.cli.program import Call, app, command
from stedi.cli.progress import progress
from stedi.cli.sections import Result, section, show
from stedi.errors import WarehouseError

_HEADINGS = {"table": "table", "question": "check", "rows": "rows", "wrong": "differences", "holds": "result"}


@command(app, "Make tables")
def verify(call: Call) -> None:
    """Compare every table with a full rebuild, and check consent. Exit code 1 on a difference.

    Example: stedi verify
    """
    from stedi.verify.verify import verify as verify_tables

    with progress("verifying") as display:
        findings = verify_tables(call.settings(), progress=display)
    rows = [asdict(finding) | {"holds": finding.holds} for finding in findings]
    result = {"holds": lambda holds: "passed" if holds else "failed"}
    checks = section("checks", rows, _HEADINGS, numbers=("rows", "differences"), show={"result": result["holds"]})
    failed = [finding for finding in findings if not finding.holds]
    last = (
        "" if failed else f"All {len(findings)} checks passed: the tables equal a full rebuild, and no consent is violated."
    )
    show(Result([checks], {"findings": rows}, last=last), as_json=call.as_json)
    if failed:
        raise WarehouseError(
            f"{len(failed)} of {len(findings)} checks failed, first {failed[0].table} with {failed[0].wrong:,} differences "
            f"({failed[0].question}); `stedi run --full-refresh` rebuilds the tables"
        )
