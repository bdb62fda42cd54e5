"""Draw how data flows from table to table, from the declarations."""

from collections import defaultdict
from html import escape

from stedi.tables.landing.feeds import FEEDS
from stedi.tables.registry import REFRESHED

_BOX_WIDTH, _BOX_HEIGHT, _GAP_X, _GAP_Y, _EDGE = 190, 34, 56, 26, 20
_COLOURS = {"files": "#eeeeee", "landing": "#dbe9f6", "reference": "#e8dff0", "trusted": "#dff0d8", "curated": "#fdebd0"}


def _columns() -> list[list[tuple[str, str]]]:
    """(name, zone) of every box, in columns from left to right: each table right of all its inputs."""
    depth: dict[str, int] = {}
    for table in REFRESHED:
        depth[table.name] = 1 + max((depth[name] for name in table.built_from), default=0)
    columns: dict[int, list[tuple[str, str]]] = defaultdict(list)
    columns[0] = [(f"{feed.name}/ files", "files") for feed in FEEDS]
    for table in REFRESHED:
        columns[depth[table.name]].append((table.name, table.zone))
    return [columns[number] for number in sorted(columns)]


def _arrows() -> list[tuple[str, str]]:
    arrows = [(f"{feed.name}/ files", feed.table.name) for feed in FEEDS]
    return arrows + [(name, table.name) for table in REFRESHED for name in table.built_from]


def picture() -> str:
    """The flow as an SVG picture."""
    columns = _columns()
    tallest = max(map(len, columns))
    height = 2 * _EDGE + tallest * (_BOX_HEIGHT + _GAP_Y)
    width = 2 * _EDGE + len(columns) * (_BOX_WIDTH + _GAP_X) - _GAP_X
    place: dict[str, tuple[float, float]] = {}
    for column, boxes in enumerate(columns):
        top = (height - len(boxes) * (_BOX_HEIGHT + _GAP_Y) + _GAP_Y) / 2
        for row, (name, _) in enumerate(boxes):
            place[name] = _EDGE + column * (_BOX_WIDTH + _GAP_X), top + row * (_BOX_HEIGHT + _GAP_Y)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#888"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for source, target in _arrows():
        (x0, y0), (x1, y1) = place[source], place[target]
        x0, y0, y1 = x0 + _BOX_WIDTH, y0 + _BOX_HEIGHT / 2, y1 + _BOX_HEIGHT / 2
        bend = _GAP_X / 2
        lines.append(
            f'<path d="M{x0:g} {y0:g}C{x0 + bend:g} {y0:g} {x1 - bend:g} {y1:g} {x1:g} {y1:g}" '
            'fill="none" stroke="#888" marker-end="url(#tip)"/>'
        )
    for boxes in columns:
        for name, zone in boxes:
            x, y = place[name]
            lines.append(
                f'<rect x="{x:g}" y="{y:g}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6" '
                f'fill="{_COLOURS[zone]}" stroke="#666"/>'
                f'<text x="{x + _BOX_WIDTH / 2:g}" y="{y + 22:g}" text-anchor="middle">{escape(name)}</text>'
            )
    return "\n".join((*lines, "</svg>")) + "\n"
