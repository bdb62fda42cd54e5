"""What the terminal says of a run."""

from dataclasses import replace

from rich.console import Console

from stedi.cli.run_report import rules_section, run_summary
from stedi.cli.sections import renderables
from stedi.model.query_settings import QuerySettings
from stedi.model.rules import Level
from stedi.pipeline.checks import RuleResult
from stedi.pipeline.report import RunReport, Status, TableReport


def run(*statuses: str, dry_run: bool = False, broken: tuple[Level, ...] = ()) -> RunReport:
    report = RunReport("r1", QuerySettings("customer"), dry_run)
    report.tables = {f"t{number}": TableReport(Status(status), 0) for number, status in enumerate(statuses)}
    results = tuple(RuleResult("t0", f"r{n}", level, "", 9, 3) for n, level in enumerate(broken))
    report.tables["t0"] = replace(report.tables["t0"], results=results)
    return report


def test_the_last_line_says_what_a_run_means() -> None:
    assert run_summary(run("up to date")) == "Nothing is new: 1 table up to date."
    assert run_summary(run("refreshed", "up to date")) == (
        "1 of 2 tables refreshed: 0 rows added, 0 removed. No error-level rule failed."
    )
    assert run_summary(run("refreshed", "refreshed", broken=("warn", "warn"))) == (
        "2 of 2 tables refreshed: 0 rows added, 0 removed. No error-level rule failed; 2 rules warned, see `stedi quality`."
    )
    assert run_summary(run("failed", "skipped", "refreshed", broken=("error",))) == (
        "2 of 3 tables kept the last good snapshot because an error-level rule failed: t0, t1. See `stedi quality`."
    )
    assert run_summary(run("would refresh", "up to date", dry_run=True)) == (
        "Plan only: nothing was written. A run would refresh 1 of 2 tables."
    )


def test_a_warn_level_rule_that_finds_rows_has_not_failed() -> None:
    console = Console(width=120, record=True)
    console.print(*renderables(rules_section("rules", run("refreshed", broken=("warn", "error")).rules), 120))
    lines = [line.split() for line in console.export_text().splitlines() if line.split()[:1] == ["t0"]]
    assert [line[2:4] for line in lines] == [["warn", "warn"], ["error", "failed"]]
