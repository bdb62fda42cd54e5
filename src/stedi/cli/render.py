"""Results as people and programs read them: tables on a terminal, pictures, JSON."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from stedi.errors import WarehouseError
from stedi.tables.landing.feeds import FEEDS

if TYPE_CHECKING:
    from stedi.catalog.run_log import RunRecord
    from stedi.ingest.skipped_files import SkippedFiles
    from stedi.maintenance.maintain import MaintenanceReport
    from stedi.pipeline import RunReport
    from stedi.pipeline.checks import RuleResult
    from stedi.verify.verify import Finding

_PICTURE_WIDTH = 150
# Data may hold what moves the cursor or changes colours.
_STEERS_A_TERMINAL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def grid(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = ()) -> Grid:
    """A table for the terminal; the named columns are set to the right."""
    made = Grid(title=Text(title, style="bold"), box=box.SIMPLE_HEAD, title_justify="left")
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def _cell(value: object) -> Text:
    if value is None:
        return Text("")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    text = f"{value:,}" if isinstance(value, int) and abs(value) < 10**12 else str(value)
    return Text(_STEERS_A_TERMINAL.sub(lambda found: found[0].encode("unicode_escape").decode(), text))


def first_lines(report: "RunReport") -> list[str]:
    """Lines to print above the tables of a run: its alarms, customers on hold, readings without a clear owner."""
    lines = [f"ALARM: {alarm.message}" for alarm in report.alarms]
    if report.on_hold:
        customers = f"{report.on_hold:,} customer{'s' * (report.on_hold != 1)}"
        lines.append(f"consent on hold: {customers} (a record of theirs can't be used); see `stedi quarantine`")
    if report.unresolved_readings:
        lines.append(
            f"owner not clear: {report.unresolved_readings:,} step-trainer reading(s) feed nothing; see `stedi devices`"
        )
    return lines


def last_line(report: "RunReport") -> str:
    """One sentence to print below the tables of a run: what it means."""
    tables = report.tables.values()
    held_back = [name for name, table in report.tables.items() if table.is_stale]
    moved = sum(table.status not in ("up to date", "failed", "skipped") for table in tables)
    warnings = len({(rule.table, rule.rule) for rule in report.rules if not rule.passed and rule.level == "warn"})
    if report.dry_run:
        return f"A plan: nothing was written; a run would bring {_counted(moved, 'table')} up to date."
    if held_back:
        kept = ", ".join(held_back)
        return f"{_counted(len(held_back), 'table')} kept the last good state, because an error-level rule failed: {kept}."
    if not moved:
        return "Nothing is new; everything was up to date."
    found = f"; {_counted(warnings, 'rule')} warned" if warnings else ""
    return f"{_counted(moved, 'table')} of {len(tables)} brought up to date; no error-level rule failed{found}."


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def run_alarms(runs: Iterable["RunRecord"]) -> list[dict[str, Any]]:
    """The alarms of finished runs, each with its run, for programs."""
    return [{"run_id": run.run_id, "finished_at": run.finished_at} | asdict(alarm) for run in runs for alarm in run.alarms]


def alarms_grid(alarms: Sequence[Mapping[str, Any]]) -> Grid:
    """A line an alarm of `run_alarms`."""
    columns = ("run_id", "finished_at", "name", "message")
    return grid("alarms of the finished runs", columns, ([alarm[column] for column in columns] for alarm in alarms))


def run_grids(report: "RunReport") -> list[Grid]:
    """What a run did: a line a table, then the rules that failed."""
    quarantined = {feed.table.name: report.quarantined[feed.name] for feed in FEEDS if feed.name in report.quarantined}
    rows = [
        (
            name,
            table.status,
            table.rows,
            table.added,
            table.removed,
            table.people,
            quarantined.get(name),
            f"{sum(r.passed for r in table.results)}/{len(table.results)}" if table.results else "",
            f"{table.seconds:.2f}",
            table.reason,
        )
        for name, table in report.tables.items()
    ]
    numbers = ("rows", "added", "removed", "people", "quarantined", "rules passed", "seconds")
    title = "plan (nothing is written)" if report.dry_run else f"run {report.run_id}"
    grids = [
        grid(
            f"{title} · policy {report.settings.policy} · {report.seconds:.1f} s",
            ("table", "status", *numbers, "why"),
            rows,
            numbers=numbers,
        )
    ]
    grids += _not_taken_grids(report.not_taken)
    if report.outside_consent:
        title = "kept readings taken while consent was not in force"
        grids.append(grid(title, ("table", "readings"), report.outside_consent.items(), numbers=("readings",)))
    if report.left_behind:
        title = "stale tables (not selected): may contain customers who withdrew; run `stedi run`"
        grids.append(grid(title, ("table",), [(name,) for name in report.left_behind]))
    if broken := [r for r in report.rules if not r.passed]:
        grids.append(rules_grid(broken))
    return grids


def _not_taken_grids(not_taken: "SkippedFiles") -> list[Grid]:
    """A line a reason why files were not taken, and a line a folder to look at."""
    grids = []
    if not_taken.files:
        rows = [
            (reason, files, ", ".join(not_taken.first[reason]) + (", …" if files > len(not_taken.first[reason]) else ""))
            for reason, files in not_taken.reasons.items()
        ]
        more = " or more" if not_taken.has_more else ""
        title = f"landing files not taken: {not_taken.files:,}{more}"
        grids.append(grid(title, ("reason", "files", "first"), rows, numbers=("files",)))
    hints = [
        f"{folder.name}/ is no feed's folder; did you mean {folder.meant}/?" for folder in not_taken.folders if folder.meant
    ]
    if not_taken.is_empty:
        hints.append("the landing folder contains no landing file")
    hints += [f"no folder for {feed}: {' or '.join(folders)}" for feed, folders in not_taken.missing.items()]
    if hints:
        grids.append(grid("landing folders", ("to check",), [(hint,) for hint in hints]))
    return grids


def _not_taken_json(not_taken: "SkippedFiles") -> dict[str, Any]:
    return {
        "files": not_taken.files,
        "has_more": not_taken.has_more,
        "reasons": not_taken.reasons,
        "first": [{"name": name, "reason": reason} for reason, names in not_taken.first.items() for name in names],
        "folders": [asdict(folder) for folder in not_taken.folders],
        "missing_folders": {feed: list(folders) for feed, folders in not_taken.missing.items()},
        "is_empty": not_taken.is_empty,
    }


def _outcome(result: "RuleResult") -> str:
    """`failed` keeps a table from being published; what breaks a warn-level rule is published and counted."""
    if result.passed:
        return "passed"
    return "failed" if result.level == "error" else "warn"


def rules_grid(rules: Sequence["RuleResult"]) -> Grid:
    """A line a rule: what it promises, how many rows break it, and the first of them."""
    rows = (
        (
            r.table,
            r.rule,
            r.level,
            _outcome(r),
            r.checked,
            r.failed,
            r.meaning,
            ", ".join(f"{name} {value}" for name, value in r.examples[0].items()) if r.examples else "",
        )
        for r in rules
    )
    return grid(
        "rules",
        ("table", "rule", "level", "result", "rows", "violations", "meaning", "example"),
        rows,
        numbers=("rows", "violations"),
    )


def findings_grid(findings: Sequence["Finding"]) -> Grid:
    """A line a comparison of `verify`."""
    rows = ((f.table, f.question, f.rows, f.wrong, "holds" if f.holds else "broken") for f in findings)
    return grid("verified", ("table", "check", "rows", "differences", "result"), rows, numbers=("rows", "differences"))


def finding_json(finding: "Finding") -> dict[str, Any]:
    """One comparison, for programs."""
    return asdict(finding) | {"holds": finding.holds}


def upkeep_grid(report: "MaintenanceReport") -> Grid:
    """A line a table of `maintain`."""
    [first, *_] = report.tables.values()
    numbers = tuple(name.replace("_", " ") for name in asdict(first))
    rows = ((name, *asdict(done).values()) for name, done in report.tables.items())
    title = f"upkeep · {report.runs_forgotten} old runs forgotten · {report.seconds:.1f} s"
    return grid(title, ("table", *numbers), rows, numbers=numbers)


def upkeep_json(report: "MaintenanceReport") -> dict[str, Any]:
    """What `maintain` did, for programs."""
    return asdict(report)


def run_json(report: "RunReport") -> dict[str, Any]:
    """What a run did, for programs."""
    return {
        "run_id": report.run_id,
        "alarms": [asdict(alarm) for alarm in report.alarms],
        "on_hold": report.on_hold,
        **asdict(report.settings),
        "dry_run": report.dry_run,
        "tables": {
            name: {key: value for key, value in asdict(table).items() if key != "results"}
            for name, table in report.tables.items()
        },
        "quarantined": report.quarantined,
        "files": report.files,
        "not_taken": _not_taken_json(report.not_taken),
        "outside_consent": report.outside_consent,
        "unresolved_readings": report.unresolved_readings,
        "left_behind": report.left_behind,
        "rules": [rule_json(rule) for rule in report.rules],
        "seconds": report.seconds,
    }


def rule_json(rule: "RuleResult") -> dict[str, Any]:
    """One rule's result, for programs."""
    return asdict(rule) | {"passed": rule.passed}


def print_json(value: object) -> None:
    """One JSON object on standard output."""
    print(json.dumps(value, default=str, ensure_ascii=False))


def write_picture(grids: Sequence[Grid], file: Path, title: str) -> None:
    """What the terminal shows, as an SVG picture.

    Raises:
        WarehouseError: the file can't be written.
    """
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=_PICTURE_WIDTH, file=nowhere)
        for each in grids:
            console.print(each)
    write_svg(console.export_svg(title=title), file)


def write_svg(svg: str, file: Path) -> None:
    """Write the text of a picture.

    Raises:
        WarehouseError: the file can't be written.
    """
    try:
        file.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise WarehouseError(f"picture {file} can't be written: {error.strerror}") from error
