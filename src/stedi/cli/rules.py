"""The command that shows rule results and alarms."""

from dataclasses import asdict

from stedi.cli.program import Call, app, command
from stedi.cli.run_report import rule_json, rules_section
from stedi.cli.sections import Result, section, show
from stedi.cli.text import utc_text


@command(app, "Look at tables")
def quality(call: Call) -> None:
    """Show the alarms of the finished runs, and the results of each table's rules at its last refresh.

    Example: stedi quality
    """
    from stedi.catalog.run_log import read_runs
    from stedi.query.rule_results import latest_results

    rules = latest_results(call.settings())
    alarms = [
        {"run_id": run.run_id, "finished_at": run.finished_at} | asdict(alarm)
        for run in read_runs(call.open_warehouse())
        for alarm in run.alarms
    ]
    headings = {"run_id": "run", "finished_at": "finished at", "name": "alarm", "message": "message"}
    sections = [
        section("alarms of the finished runs", alarms, headings, show={"finished at": utc_text}),
        rules_section("rules", rules, empty="No rule was checked yet; `stedi run` checks them."),
    ]
    show(Result(sections, {"alarms": alarms, "rules": [rule_json(rule) for rule in rules]}), as_json=call.as_json)
