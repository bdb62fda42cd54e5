"""Write the generated pages: the data dictionary, from the tables' declarations."""

from pathlib import Path

from stedi.quality import checks
from stedi.table import Table
from stedi.tables import ALL

PAGE = Path(__file__).with_name("tables.md")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _section(table: Table) -> str:
    used_by = ", ".join(f"`{t.name}`" for t in ALL if table.name in t.inputs) or "nothing"
    built_from = ", ".join(f"`{name}`" for name in table.inputs) or table.origins[0]
    layout = f"one partition a day of `{table.day}` (UTC), " if table.day else ""
    lines = [
        f"## {table.name}",
        "",
        f"{table.meaning[0].upper()}{table.meaning[1:]}.",
        "",
        f"- one row: {table.grain}; key: {', '.join(f'`{k}`' for k in table.key)}",
        f"- built from {built_from}; feeds {used_by}",
        f"- files: {layout}sorted by {', '.join(f'`{s}`' for s in table.sort)}",
        "",
        "| column | type | personal | meaning |",
        "|---|---|---|---|",
        *(f"| `{c.name}` | {c.type} | {'yes' if c.personal else ''} | {_cell(c.meaning)} |" for c in table.columns),
        "",
        "| rule | level | promise |",
        "|---|---|---|",
        *(f"| `{r.name}` | {r.level} | {_cell(r.meaning)} |" for r in checks(table)),
        "",
    ]
    return "\n".join(lines)


def data_dictionary() -> str:
    """The whole page."""
    head = (
        "# Tables\n\n"
        "Written by `make docs` from the declarations in `src/stedi/`; do not edit by hand.\n"
        "Source fields keep the source's spelling; columns that we add are in snake_case. A column marked\n"
        "personal identifies a person, or may.\n\n"
    )
    return head + "\n".join(_section(table) for table in ALL)


if __name__ == "__main__":
    PAGE.write_text(data_dictionary(), encoding="utf-8")
