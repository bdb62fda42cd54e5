"""Write the generated pages and tables: flow, data dictionary, commands, settings, house, reasons for quarantine."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import deployment_picture
import flow_picture
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.main import get_command

from stedi.aws.ddl import databases_ddl, ddl
from stedi.aws.jobs import JOBS, script
from stedi.aws.named_queries import NAMED_QUERIES, NamedQuery
from stedi.cli.commands import app
from stedi.cli.program import GLOBAL_PANEL
from stedi.config import Settings
from stedi.ingest.reasons import REASONS
from stedi.model.table import Table
from stedi.tables.registry import ALL

ROOT = Path(__file__).parents[1]
_EXAMPLE = re.compile(r"^Example: (.+)$", re.MULTILINE)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _section(table: Table) -> str:
    used_by = ", ".join(f"`{t.name}`" for t in ALL if table.name in t.built_from) or "nothing"
    built_from = ", ".join(f"`{name}`" for name in table.built_from) or table.origins[0]
    layout = f"one partition a day of `{table.day}` (UTC), " if table.day else ""
    lines = [
        f"## {table.name}",
        "",
        f"{table.meaning[0].upper()}{table.meaning[1:]}.",
        "",
        f"- one row: {table.grain}; key: {', '.join(f'`{k}`' for k in table.key)}",
        f"- built from {built_from}; feeds {used_by}",
        *(
            [f"- made when first asked for (`stedi run --select {table.name}`), then kept by every run"]
            if table.on_demand
            else []
        ),
        f"- files: {layout}sorted by {', '.join(f'`{s}`' for s in table.sort)}",
        "",
        "| column | type | personal | meaning |",
        "|---|---|---|---|",
        *(f"| `{c.name}` | {c.type} | {'yes' if c.personal else ''} | {_cell(c.meaning)} |" for c in table.columns),
        "",
        "| rule | level | promise |",
        "|---|---|---|",
        *(f"| `{r.name}` | {r.level} | {_cell(r.meaning)} |" for r in table.checks),
        "",
    ]
    return "\n".join(lines)


def data_dictionary() -> str:
    """Every table, from its declaration."""
    head = (
        "# Tables\n\n"
        "Written by `make docs` from the declarations in `src/stedi/`; do not edit by hand.\n"
        "Source fields keep the source's spelling; columns that we add are in snake_case. A column marked\n"
        "personal identifies a person, or may.\n\n"
    )
    return head + "\n".join(_section(table) for table in ALL)


def _parameters(parameters: Iterable[Any]) -> Iterator[str]:
    for parameter in parameters:
        shown = (
            " / ".join(parameter.opts)
            if parameter.param_type_name == "option"
            else parameter.metavar or parameter.name.upper()
        )
        yield f"| `{_cell(shown)}` | {_cell(parameter.help or '')} |"


def every_command(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(name, command) of all commands, those of a group under the group's name too."""
    for name, command in group.commands.items():
        yield f"{prefix}{name}", command
        if hasattr(command, "commands"):
            yield from every_command(command, f"{prefix}{name} ")


def commands() -> str:
    """Every command, from its help."""
    program: Any = get_command(app)
    parts = [
        "# Commands\n\nWritten by `make docs` from the program's help; do not edit by hand.\n",
        "## Options of every command\n\nGiven before the command or behind it: `stedi run --json`.\n",
        "\n".join(("| option | |", "|---|---|", *_parameters(program.params))) + "\n",
    ]
    for name, command in sorted(every_command(program)):
        rows = list(_parameters(p for p in command.params if p.rich_help_panel != GLOBAL_PANEL))
        text = _EXAMPLE.sub(r"Example: `\1`", (command.help or "").strip())
        parts.append(f"## stedi {name}\n\n{text}\n")
        if rows:
            parts.append("\n".join(("| | |", "|---|---|", *rows)) + "\n")
    return "\n".join(parts)


def example_settings() -> str:
    """Every setting with its default, commented out where it has none."""
    top = [line for name, field in Settings.model_fields.items() for line in _setting(name, field)]
    sections = [
        line
        for name, field in Settings.model_fields.items()
        if isinstance(field.default, BaseModel)
        for line in ("", f"[{name}]", *(li for n, f in type(field.default).model_fields.items() for li in _setting(n, f)))
    ]
    head = [
        "# Every setting of STEDI with its default: copy to stedi.toml.",
        "# Written by `make docs`; do not edit by hand.",
        "",
    ]
    return "\n".join((*head, *top, *sections)) + "\n"


def _setting(name: str, field: FieldInfo) -> Iterator[str]:
    if isinstance(field.default, BaseModel):
        return
    yield f"# {field.description}"
    yield f"# {name} =" if field.default is None else f"{name} = {_toml(field.default)}"


def _toml(value: Any) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'


def house() -> str:
    """Every module under its folder, by what it says of itself."""
    source = ROOT / "src/stedi"
    parts = [
        "# The house\n\nWritten by `make docs` from the modules' own first lines; do not edit by hand. "
        "A room uses only rooms\nbelow it, and each library has one place: `pyproject.toml` has the layers, "
        "and `make check` proves them.\n"
    ]
    for folder in sorted({module.parent for module in source.rglob("*.py")}):
        modules = sorted(module for module in folder.glob("*.py") if module.name != "__init__.py")
        name = folder.relative_to(source.parent).as_posix()
        parts.append(f"## {name}/\n\n{_says(folder / '__init__.py')}\n")
        if modules:
            rows = (f"| `{module.name}` | {_cell(_says(module))} |" for module in modules)
            parts.append("\n".join(("| module | |", "|---|---|", *rows)) + "\n")
    return "\n".join(parts)


def _says(module: Path) -> str:
    return (ast.get_docstring(ast.parse(module.read_text("utf-8"))) or "").partition("\n")[0]


def question(asked: NamedQuery) -> str:
    """A named query of Athena, as a file of its own."""
    return f"-- {asked.meaning}\n{asked.athena};\n"


_REASONS_BEGIN, _REASONS_END = "<!-- reasons: written by `make docs` -->\n", "<!-- end of reasons -->"


def landing() -> str:
    """The page on landing files, with the reasons for quarantine as they are declared."""
    before, _, rest = (ROOT / "docs/landing.md").read_text("utf-8").partition(_REASONS_BEGIN)
    rows = (f"| `{_cell(each.name)}` | {_cell(each.meaning)} | {_cell(each.action)} |" for each in REASONS)
    table = "\n".join(("| reason | meaning | what to do |", "|---|---|---|", *rows))
    return f"{before}{_REASONS_BEGIN}{table}\n{_REASONS_END}{rest.partition(_REASONS_END)[2]}"


PAGES: dict[str, Callable[[], str]] = {
    "docs/house.md": house,
    "docs/landing.md": landing,
    "docs/flow.svg": flow_picture.picture,
    "docs/aws.svg": deployment_picture.picture,
    "docs/tables.md": data_dictionary,
    "docs/commands.md": commands,
    "stedi.example.toml": example_settings,
    "deploy/ddl/databases.sql": databases_ddl,
    **{f"deploy/ddl/{table.name}.sql": partial(ddl, table) for table in ALL},
    **{f"deploy/jobs/{job.name}.py": partial(script, job) for job in JOBS},
    **{f"deploy/queries/{asked.name}.sql": partial(question, asked) for asked in NAMED_QUERIES},
}


if __name__ == "__main__":
    for page, text in PAGES.items():
        (ROOT / page).write_text(text(), encoding="utf-8")
