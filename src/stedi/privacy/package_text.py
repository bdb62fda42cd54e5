"""The pages of a package for the person who receives it: README and data dictionary."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from stedi.catalog.run_log import RunRecord
from stedi.config import Privacy
from stedi.privacy.package_rows import LEFT_OUT, ExportedTable, LeftOut
from stedi.privacy.receipts import unknown_fields

_NOT_STATED = "(not stated; the controller adds it)"
_TABLES = {
    "customer_records": "your customer records as received, one for each update, with every spelling of your address",
    "readings_phone": "readings of the acceleration sensor in your phone, as received",
    "readings_device": "readings of the distance sensor in the step trainers that are yours, for the time in which they are",
    "quarantined_records": "records about you that could not be read, as received, with the reason",
}
_OTHER_FILES = {
    "consent.json": "when you gave and withdrew consent, for each purpose; consent on hold",
    "consent_receipts.jsonld": "one receipt for each consent, after ISO/IEC TS 27560:2023 (JSON-LD, Data Privacy "
    "Vocabulary)",
    "devices.json": "the step trainers that are yours, in which period and why; serial numbers in your records (claims)",
    "models.json": "trained models that learned from your readings: name, time, SHA-256 of their files; without the "
    "models themselves",
    "provenance.json": "from which processing run and which received files the data come; what was left out",
    "data_dictionary.md": "the meaning and unit of every column (also as `data_dictionary.json`)",
    "manifest.json": "all other files with their size and SHA-256 checksum",
}


def data_dictionary(tables: Iterable[ExportedTable]) -> dict[str, Any]:
    """Describe the columns of a package's tables, from their declarations."""
    return {
        exported.name: {
            "table": exported.table.name,
            "zone": exported.table.zone,
            "meaning": exported.table.meaning,
            "one_row": exported.table.grain,
            "rows": exported.rows,
            "files": sorted(exported.files),
            "columns": [
                {"name": column.name, "type": column.type, "personal": column.personal, "meaning": column.meaning}
                for column in exported.columns
            ],
        }
        for exported in tables
    }


def data_dictionary_text(tables: Iterable[ExportedTable]) -> str:
    """Write the data dictionary as a page."""
    lines = ["# Data dictionary", ""]
    for exported in tables:
        lines += [f"## {exported.name}", "", f"{_sentence(exported.table.meaning)} One row: {exported.table.grain}.", ""]
        lines += ["| column | type | meaning |", "|---|---|---|"]
        lines += [f"| `{column.name}` | {column.type} | {_cell(column.meaning)} |" for column in exported.columns]
        lines.append("")
    return "\n".join(lines)


def readme(privacy: Privacy, tables: Sequence[ExportedTable], left_out: LeftOut, run: RunRecord, made_at: datetime) -> str:
    """Write the page that explains a package to the person, in plain words."""
    retention = (
        "no end is set"
        if privacy.retention_days is None
        else f"received files and raw records of people who never consented or withdrew: {privacy.retention_days} days"
    )
    derived = [table for table in tables if table.name not in _TABLES]
    lines = [
        "# Your data",
        "",
        "This folder contains the data about you in the STEDI lakehouse. It answers a request for access (article 15 of the",
        "GDPR) and for data that you can take elsewhere (article 20).",
        "",
        f"- made at {made_at:%Y-%m-%d %H:%M} UTC, from the processing run that finished at {run.finished_at}",
        f"- controller: {privacy.controller or _NOT_STATED}",
        f"- contact: {privacy.contact or _NOT_STATED}",
        f"- privacy notice: {privacy.notice or _NOT_STATED}",
        "",
        "## Files",
        "",
        "| file | rows | content |",
        "|---|---|---|",
        *(f"| {_files(table)} | {table.rows:,} | {_TABLES[table.name]} |" for table in tables if table.name in _TABLES),
        *(f"| {_files(table)} | {table.rows:,} | {_cell(table.table.meaning)} |" for table in derived),
        *(f"| `{name}` | | {text} |" for name, text in _OTHER_FILES.items()),
        "",
        "Tables without data about you are not included.",
        "",
        "## How to open them",
        "",
        "- `.jsonl`: text with one JSON object per line. Any text editor and most programs open it.",
        "- `.parquet`: the same rows for programs that analyse data, such as DuckDB, pandas, R and recent spreadsheets.",
        "- `.json`, `.jsonld` and `.md`: text.",
        "- A table with more than a million readings has one file for each month, in a folder of its name.",
        "- To check that no file has changed: `sha256sum FILE`, and compare with `manifest.json`.",
        "",
        "## Times and units",
        "",
        "- Times that are large whole numbers are milliseconds since 1970-01-01 00:00 UTC. Other times are in UTC, too.",
        "- An interval contains its start and not its end. An empty end means that it lasts.",
        "- The time of a reading comes from the clock of the phone or the step trainer, which may be wrong.",
        "- Accelerations and distances are in the units of the sensors. They were not converted.",
        "- `withdrawn` also stands for times at which your records disagree: then there is no consent.",
        "",
        "## What is not in here",
        "",
        *_left_out_lines(left_out),
        "- Older stored versions of the tables. `stedi person` lists them for the controller.",
        "- Data outside of the lakehouse, such as backups and e-mails.",
        "",
        "## What the controller adds",
        "",
        "The lakehouse can't know these parts of the answer under article 15:",
        "",
        "- the purposes of the processing, beyond the consents in `consent.json`",
        "- the recipients to whom the data were or will be disclosed, and transfers to other countries",
        f"- how long the data are kept. Setting of the lakehouse: {retention}",
        f"- fields that the standard requires in consent receipts: {', '.join(unknown_fields(privacy))}",
        "",
        "Your rights: you can ask for correction, for erasure and for restriction of the processing. You can object to it,",
        "withdraw a consent at any time, and complain to a supervisory authority. Write to the contact above.",
        "",
    ]
    return "\n".join(lines)


def _left_out_lines(left_out: LeftOut) -> list[str]:
    cells = sum(left_out.cells.values())
    return [
        f"- {left_out.quarantined_records:,} records that could not be read and that name you together with somebody else, "
        "your device with somebody else's, or your device without saying whose record it is.",
        f"- {cells:,} texts in your records that name somebody else. In their place is `{LEFT_OUT}`.",
        f"- {left_out.evidence_rows:,} rows that compare your phone's times with devices that are not yours.",
        "- The names of received files that contain an address: `(name with @)` stands for them.",
    ]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _files(table: ExportedTable) -> str:
    is_split = len(table.files) > 2
    return f"`{table.name}/`" if is_split else f"`{table.name}.parquet`, `{table.name}.jsonl`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
