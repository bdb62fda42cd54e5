"""The command that shows quarantined records."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stedi.cli.names import FEED_NAMES, complete_feed
from stedi.cli.program import Call, app, command
from stedi.cli.progress import progress
from stedi.cli.run_report import run_alerts
from stedi.cli.sections import Result, section, show
from stedi.errors import unknown_name
from stedi.model.sql import literal
from stedi.tables.landing.feeds import FEEDS

if TYPE_CHECKING:
    from stedi.config import Settings

_ON_HOLD = "consent on hold, one row per customer; a usable record of the customer in a later file ends the hold"


@command(app, "Look at tables")
def quarantine(
    call: Call,
    feed: Annotated[
        str | None, typer.Option(help=f"only this feed: {', '.join(FEED_NAMES)}", autocompletion=complete_feed)
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="first ingest the files with quarantined records again, and refresh all tables")
    ] = False,
) -> None:
    """Count quarantined records by feed, file and reason, and list the consent holds that they cause.

    Example: stedi quarantine --feed customer
    """
    from stedi import pipeline
    from stedi.ingest.reasons import explain
    from stedi.ingest.skipped_files import shown_name

    if feed is not None and feed not in FEED_NAMES:
        raise unknown_name("feed", feed, FEED_NAMES)
    report = None
    if replay:
        with progress("replaying") as display:
            report = pipeline.run(call.settings(), replay=[feed] if feed else FEED_NAMES, progress=display)
    where = f"WHERE feed = {literal(feed)}" if feed else ""
    quarantined = _select(
        call.settings(),
        f"SELECT feed, source_file, reason, count(*) AS records, min(source_position) AS first_position "
        f"FROM quarantine {where} GROUP BY ALL ORDER BY ALL",
    )
    for row in quarantined:
        row |= {"source_file": shown_name(row["source_file"]), "meaning": explain(row["reason"])}
    on_hold = []
    if any(declared.decides_consent for declared in FEEDS if feed in (None, declared.name)):
        # Without the person: the file and the position are enough to correct the record.
        on_hold = _select(
            call.settings(),
            "SELECT source_file, source_position, reason, held_since, records FROM consent_hold ORDER BY ALL",
        )
    for row in on_hold:
        row["source_file"] = shown_name(row["source_file"])
    keys = ("feed", "source_file", "reason", "records", "first_position", "meaning")
    hold_keys = ("source_file", "source_position", "reason", "held_since", "records")
    sections = [
        section(
            "quarantine",
            quarantined,
            dict(zip(keys, keys, strict=True)),
            numbers=("records", "first_position"),
            empty="No record is in quarantine.",
        ),
        section(_ON_HOLD, on_hold, dict(zip(hold_keys, hold_keys, strict=True)), numbers=("source_position", "records")),
    ]
    result = Result(sections, {"quarantined": quarantined, "on_hold": on_hold}, run_alerts(report) if report else ())
    show(result, as_json=call.as_json)
    if report:
        report.raise_alarms()


def _select(settings: "Settings", sql: str) -> list[dict[str, Any]]:
    from stedi.query.sandbox import query

    result = query(settings, sql)
    return [dict(zip(result.columns, row, strict=True)) for row in result.rows()]
