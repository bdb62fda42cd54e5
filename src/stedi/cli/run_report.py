"""The report of a run, for people and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stedi.cli.maintenance import retention_text
from stedi.cli.sections import Result, Section
from stedi.cli.text import counted, duration
from stedi.tables.landing.feeds import FEEDS

if TYPE_CHECKING:
    from stedi.ingest.skipped_files import SkippedFiles
    from stedi.pipeline import RunReport
    from stedi.pipeline.checks import RuleResult
    from stedi.privacy.retention.report import Retention


def run_result(report: "RunReport", retention: "Retention | None" = None) -> Result:
    """Return what `stedi run` prints.

    Args:
        report: the report of the run.
        retention: what retention removed after it; None if the run was without maintenance.
    """
    as_json, alerts = run_json(report), run_alerts(report)
    if retention is not None:
        as_json |= {"retention": asdict(retention)}
        if not retention.is_empty:
            alerts.append(retention_text(retention))
    return Result(run_sections(report), as_json, alerts, run_summary(report))


def run_alerts(report: "RunReport") -> list[str]:
    """Return the lines above the tables of a run: alarms, consent holds, unclear owners, suppressed records."""
    lines = [f"ALARM: {alarm.message}" for alarm in report.alarms]
    if report.on_hold:
        customers = counted(report.on_hold, "customer")
        lines.append(f"consent on hold: {customers} (with an unusable record); see `stedi quarantine`")
    if report.unresolved_readings:
        readings = counted(report.unresolved_readings, "step-trainer reading")
        lines.append(f"owner not clear: {readings} left out of the trusted tables; see `stedi devices`")
    if report.suppressed:
        records = counted(sum(report.suppressed.values()), "record")
        lines.append(
            f"suppressed: {records} in landing files, of erased people or after retention, not stored; "
            "`stedi erase --restore-check` and `stedi maintain` remove them"
        )
    return lines


def run_summary(report: "RunReport") -> str:
    """Return the outcome of a run as one or two sentences."""
    tables = report.tables.values()
    held_back = [name for name, table in report.tables.items() if table.is_stale]
    refreshed = [table for table in tables if table.is_refresh]
    of_tables = f"of {counted(len(tables), 'table')}"
    if report.dry_run:
        if not refreshed:
            return f"Plan only: nothing is new, {counted(len(tables), 'table')} up to date."
        return f"Plan only: nothing was written. A run would refresh {len(refreshed)} {of_tables}."
    if held_back:
        return (
            f"{len(held_back)} {of_tables} kept the last good snapshot because an error-level rule failed: "
            f"{', '.join(held_back)}. See `stedi quality`."
        )
    if not refreshed:
        return f"Nothing is new: {counted(len(tables), 'table')} up to date."
    added, removed = (sum(getattr(table, name) for table in refreshed) for name in ("added", "removed"))
    warned = len({(rule.table, rule.rule) for rule in report.rules if not rule.passed and rule.level == "warn"})
    warnings = f"; {counted(warned, 'rule')} warned, see `stedi quality`" if warned else ""
    return (
        f"{len(refreshed)} {of_tables} refreshed: {counted(added, 'row')} added, {removed:,} removed. "
        f"No error-level rule failed{warnings}."
    )


def run_sections(report: "RunReport") -> list[Section]:
    """Return one row per table, then skipped files, stale tables and rules with violations."""
    sections = [_tables_section(report), *_not_taken_sections(report.not_taken)]
    if report.outside_consent:
        title = "readings kept although consent was not in force at their time"
        sections.append(Section(title, ("table", "readings"), list(report.outside_consent.items()), ("readings",)))
    if report.left_behind:
        title = "stale tables (not selected): may contain withdrawn customers; run `stedi run`"
        sections.append(Section(title, ("table",), [(name,) for name in report.left_behind]))
    violated = [rule for rule in report.rules if not rule.passed]
    return [*sections, rules_section("rules with violations", violated)]


def _tables_section(report: "RunReport") -> Section:
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
    return Section(
        f"{title} · policy {report.settings.policy} · {duration(report.seconds)}",
        ("table", "status", *numbers, "why"),
        rows,
        numbers,
        optional=("seconds", "why", "rules passed", "quarantined", "people"),
    )


def _not_taken_sections(not_taken: "SkippedFiles") -> list[Section]:
    """One row per reason why files were skipped, and one row per folder to check."""
    rows = [
        (reason, files, ", ".join(not_taken.first[reason]) + (", …" if files > len(not_taken.first[reason]) else ""))
        for reason, files in not_taken.reasons.items()
    ]
    more = " or more" if not_taken.has_more else ""
    hints = [
        f"{folder.name}/ is not the folder of a feed; did you mean {folder.meant}/?"
        for folder in not_taken.folders
        if folder.meant
    ]
    if not_taken.is_empty:
        hints.append("the landing folder contains no landing file")
    hints += [f"no folder for {feed}: {' or '.join(folders)}" for feed, folders in not_taken.missing.items()]
    sections = [
        Section(f"landing files not taken: {not_taken.files:,}{more}", ("reason", "files", "first"), rows, ("files",)),
        Section("landing folders", ("to check",), [(hint,) for hint in hints]),
    ]
    return [section for section in sections if section.rows]


def rules_section(title: str, rules: Sequence["RuleResult"], empty: str = "") -> Section:
    """Return one row per rule: its meaning, the number of violations, and the first violation."""
    rows = [
        (
            rule.table,
            rule.rule,
            rule.level,
            _outcome(rule),
            rule.checked,
            rule.failed,
            rule.meaning,
            ", ".join(f"{name} {value}" for name, value in rule.examples[0].items()) if rule.examples else "",
        )
        for rule in rules
    ]
    columns = ("table", "rule", "level", "result", "rows", "violations", "meaning", "example")
    return Section(title, columns, rows, ("rows", "violations"), empty=empty)


def _outcome(rule: "RuleResult") -> str:
    """Result of a rule in one word. `failed` prevents publication; rows that violate a warn-level rule are published."""
    if rule.passed:
        return "passed"
    return "failed" if rule.level == "error" else "warn"


def run_json(report: "RunReport") -> dict[str, Any]:
    """Return the report of a run as JSON values."""
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
        "suppressed": report.suppressed,
        "files": report.files,
        "not_taken": _not_taken_json(report.not_taken),
        "outside_consent": report.outside_consent,
        "unresolved_readings": report.unresolved_readings,
        "left_behind": report.left_behind,
        "rules": [rule_json(rule) for rule in report.rules],
        "seconds": report.seconds,
    }


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


def rule_json(rule: "RuleResult") -> dict[str, Any]:
    """Return the result of one rule as JSON values."""
    return asdict(rule) | {"passed": rule.passed}
