"""Results of commands: rows with a title, rendered as a table, as records, as a picture or as JSON."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from stedi.cli.terminal import output, output_width, print_json
from stedi.cli.text import is_time, value_text
from stedi.errors import WarehouseError

_PICTURE_WIDTH = 150
# Width of a border and the spaces around it.
_GAP = 3
# In a table, a text may wrap to this many lines. If a text needs more, the rows are shown as records.
_MAX_LINES = 4
# Texts up to this width never wrap.
_SHORT_TEXT = 20

Show = Callable[[Any], str]


@dataclass(frozen=True)
class Section:
    """Rows of one kind.

    Attributes:
        title: heading; may be empty.
        columns: names of the columns, as headings.
        rows: values in the order of the columns.
        numbers: columns that are aligned to the right.
        optional: columns to leave out on a narrow terminal, in this order.
        show: functions that format the values of a column, by its name.
        empty: sentence to print if there are no rows; by default nothing is printed.
        max_records: maximum number of rows to show as records, if they are too wide for a table; None for all.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    numbers: Sequence[str] = ()
    optional: Sequence[str] = ()
    show: Mapping[str, Show] = field(default_factory=dict)
    empty: str = ""
    max_records: int | None = None


def section(title: str, items: Iterable[Mapping[str, Any]], headings: Mapping[str, str], **options: Any) -> Section:
    """Make a section from the items that are also printed as JSON.

    Args:
        title: heading.
        items: one mapping per row.
        headings: the heading of each key to show, in order.
        options: further attributes of `Section`.
    """
    rows = [[item[key] for key in headings] for item in items]
    return Section(title, tuple(headings.values()), rows, **options)


@dataclass(frozen=True)
class Result:
    """What a command prints.

    Attributes:
        sections: the result for people.
        json: the result for programs (`--json`).
        first: lines above the sections, such as alarms.
        last: a sentence below the sections.
    """

    sections: Sequence[Section]
    json: object
    first: Sequence[str] = ()
    last: str = ""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def show(result: Result, *, as_json: bool, svg: Path | None = None, title: str = "") -> None:
    """Print a result to standard output.

    Args:
        result: what to print.
        as_json: print its JSON instead of its sections.
        svg: file for a picture of the sections; by default none is written.
        title: title of the picture.

    Raises:
        OutputError: standard output can't be written.
        WarehouseError: the picture can't be written.
    """
    if svg is not None:
        write_picture(result.sections, svg, title)
    with output():
        if as_json:
            print_json(result.json)
            return
        console = _Console(width=output_width())
        for line in result.first:
            console.print(Text(line, style="bold red"), soft_wrap=True)
        for part in result.sections:
            for renderable in renderables(part, console.width, short=console.is_terminal):
                console.print(renderable)
        if result.last:
            console.print(result.last, soft_wrap=True, markup=False, highlight=False)


def write_picture(sections: Sequence[Section], file: Path, title: str) -> None:
    """Write sections as a terminal shows them, as an SVG picture.

    Raises:
        WarehouseError: the file can't be written.
    """
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=_PICTURE_WIDTH, file=nowhere)
        for part in sections:
            for renderable in renderables(part, _PICTURE_WIDTH, short=True):
                console.print(renderable)
    write_svg(console.export_svg(title=title), file)


def write_svg(svg: str, file: Path) -> None:
    """Write the text of a picture.

    Args:
        svg: the text.
        file: the file.

    Raises:
        WarehouseError: the file can't be written.
    """
    try:
        file.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise WarehouseError(f"picture {file} can't be written: {error.strerror}; name another file") from error


def renderables(part: Section, width: int, *, short: bool = False) -> list[RenderableType]:
    """Return a section as rich prints it: a table if its rows fit into the width, otherwise records.

    Args:
        part: the section.
        width: columns of the terminal.
        short: cut identifiers longer than 16 characters.
    """
    if not part.rows:
        return [Text(part.empty)] if part.empty else []
    cells = [[_cell(part, name, value, short) for name, value in zip(part.columns, row, strict=True)] for row in part.rows]
    least = [
        _least_width(name, [row[n] for row in cells], can_wrap=not any(is_time(name, row[n]) for row in part.rows))
        for n, name in enumerate(part.columns)
    ]
    shown = list(range(len(part.columns)))
    left_out = []
    for name in part.optional:
        if _table_width(least, shown) <= width:
            break
        shown.remove(part.columns.index(name))
        left_out.append(name)
    if _table_width(least, shown) > width:
        return _records(part, cells)
    remark = [Text(f"Left out on a narrow terminal: {', '.join(left_out)}.\n", style="dim")] if left_out else []
    return [*_title(part), _table(part, cells, shown, least), *remark]


def _cell(part: Section, name: str, value: object, short: bool) -> str:
    if name in part.show:
        return "" if value is None else part.show[name](value)
    return value_text(name, value, short=short)


def _least_width(name: str, texts: Sequence[str], *, can_wrap: bool) -> int:
    """The minimum width of a column that breaks no word and wraps no text to more than a few lines."""
    heading = max(map(cell_len, name.split()), default=0)
    return max((heading, *map(_least_text_width if can_wrap else cell_len, texts)))


def _least_text_width(text: str) -> int:
    width = max(map(cell_len, text.splitlines()), default=0)
    if width <= _SHORT_TEXT:
        return width
    # A quarter more than an even share, because lines end at spaces.
    share = width * 5 // (_MAX_LINES * 4)
    return max(share, _SHORT_TEXT, *map(cell_len, text.split()))


def _table_width(least: Sequence[int], shown: Sequence[int]) -> int:
    return sum(least[n] + _GAP for n in shown)


def _table(part: Section, cells: Sequence[Sequence[str]], shown: Sequence[int], least: Sequence[int]) -> Grid:
    table = Grid(box=box.SIMPLE_HEAD, show_header=any(part.columns[n].strip() for n in shown))
    for n in shown:
        name = part.columns[n]
        table.add_column(
            Text(name), justify="right" if name in part.numbers else "left", overflow="fold", min_width=least[n]
        )
    for row in cells:
        table.add_row(*(Text(row[n]) for n in shown))
    return table


def _records(part: Section, cells: Sequence[Sequence[str]]) -> list[RenderableType]:
    """One line per column for each row, as in DuckDB's line mode and psql's \\x."""
    shown = cells[: part.max_records]
    parts: list[RenderableType] = [*_title(part)]
    for number, row in enumerate(shown, start=1):
        grid = Grid.grid(padding=(0, 2))
        grid.add_column(no_wrap=True, style="bold")
        grid.add_column(overflow="fold")
        for name, text in zip(part.columns, row, strict=True):
            grid.add_row(Text(f"  {name}"), Text(text))
        parts += [Text(f"  row {number:,} of {len(cells):,}", style="dim"), grid, Text("")]
    return [Group(*parts)]


def _title(part: Section) -> list[Text]:
    return [Text(part.title, style="bold")] if part.title else []
