"""Draw how data flows from table to table, from the declarations.

The drawing is layered: each table is right of all its inputs. An arrow over several columns passes the columns between
in lanes of its own, so that no arrow runs behind a box.
"""

from collections import defaultdict
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from stedi.tables.landing.feeds import FEEDS
from stedi.tables.registry import REFRESHED

_BOX_WIDTH, _BOX_HEIGHT, _LANE_HEIGHT, _GAP_X, _GAP_Y, _EDGE = 190, 34, 4, 64, 20, 20
_COLOURS = {"files": "#eeeeee", "landing": "#dbe9f6", "reference": "#e8dff0", "trusted": "#dff0d8", "curated": "#fdebd0"}
# Sweeps that order the boxes of a column by the mean position of their neighbours. More change nothing.
_SWEEPS = 12


@dataclass(frozen=True)
class Node:
    """A box, or (with `passes`) the lane in which the arrows of a box cross a column."""

    name: str
    column: int
    zone: str = ""
    passes: bool = False

    @property
    def height(self) -> int:
        """Height of the box or lane."""
        return _LANE_HEIGHT if self.passes else _BOX_HEIGHT


def _boxes() -> dict[str, Node]:
    """The boxes by name, each right of all its inputs."""
    columns: dict[str, int] = {}
    for table in REFRESHED:
        columns[table.name] = 1 + max((columns[name] for name in table.built_from), default=0)
    files = {name: Node(name, 0, "files") for name in (f"{feed.name}/ files" for feed in FEEDS)}
    return files | {table.name: Node(table.name, columns[table.name], table.zone) for table in REFRESHED}


def _arrows() -> list[tuple[str, str]]:
    arrows = [(f"{feed.name}/ files", feed.table.name) for feed in FEEDS]
    return arrows + [(name, table.name) for table in REFRESHED for name in table.built_from]


def _route(source: Node, target: Node) -> list[Node]:
    """The nodes that an arrow passes. All arrows of a box share its lanes."""
    lanes = [Node(source.name, column, passes=True) for column in range(source.column + 1, target.column)]
    return [source, *lanes, target]


def layout() -> tuple[dict[Node, tuple[float, float]], list[list[Node]]]:
    """Return the place (left, middle) of every node, and the route of every arrow."""
    boxes = _boxes()
    routes = [_route(boxes[source], boxes[target]) for source, target in _arrows()]
    columns: dict[int, list[Node]] = defaultdict(list)
    for node in dict.fromkeys((*boxes.values(), *(node for route in routes for node in route))):
        columns[node.column].append(node)
    neighbours: dict[Node, set[Node]] = defaultdict(set)
    for route in routes:
        for left, right in pairwise(route):
            neighbours[left].add(right)
            neighbours[right].add(left)
    middles = _stack(columns)
    for sweep in range(_SWEEPS):
        side = -1 if sweep % 2 == 0 else 1
        for column in sorted(columns, reverse=side > 0):
            wanted = {}
            for node in columns[column]:
                beside = [middles[other] for other in neighbours[node] if other.column == column + side]
                wanted[node] = sum(beside) / len(beside) if beside else middles[node]
            columns[column].sort(key=wanted.__getitem__)
            middles |= _stack({column: columns[column]})
    return {node: (_EDGE + node.column * (_BOX_WIDTH + _GAP_X), middles[node]) for node in middles}, routes


def _stack(columns: dict[int, list[Node]]) -> dict[Node, float]:
    """The middle of every node; a column is centred at 0."""
    middles: dict[Node, float] = {}
    for nodes in columns.values():
        top = -(sum(node.height for node in nodes) + _GAP_Y * (len(nodes) - 1)) / 2
        for node in nodes:
            middles[node] = top + node.height / 2
            top += node.height + _GAP_Y
    return middles


def _segment(left: Node, right: Node, place: dict[Node, tuple[float, float]], top: float) -> str:
    """The line from a node to one in the next column: a curve between the columns, straight on through a lane."""
    (x0, y0), (x1, y1) = place[left], place[right]
    x0, y0, y1, bend = x0 + _BOX_WIDTH, y0 - top, y1 - top, _GAP_X / 2
    path = f"M{x0:g} {y0:g}C{x0 + bend:g} {y0:g} {x1 - bend:g} {y1:g} {x1:g} {y1:g}"
    end = f'H{x1 + _BOX_WIDTH:g}"' if right.passes else '" marker-end="url(#tip)"'
    return f'<path d="{path}{end} fill="none" stroke="#888"/>'


def picture() -> str:
    """Return the flow as an SVG picture."""
    place, routes = layout()
    top = min(y - node.height / 2 for node, (_, y) in place.items()) - _EDGE
    height = max(y + node.height / 2 for node, (_, y) in place.items()) + _EDGE - top
    width = max(x for x, _ in place.values()) + _BOX_WIDTH + _EDGE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        'font-family="sans-serif" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#888"/></marker></defs>',
        f'<rect width="{width:g}" height="{height:g}" fill="white"/>',
    ]
    # Arrows share lanes, and each segment is drawn once.
    lines += dict.fromkeys(_segment(*nodes, place, top) for route in routes for nodes in pairwise(route))
    for node, (x, y) in place.items():
        if not node.passes:
            lines.append(
                f'<rect x="{x:g}" y="{y - node.height / 2 - top:g}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6" '
                f'fill="{_COLOURS[node.zone]}" stroke="#666"/>'
                f'<text x="{x + _BOX_WIDTH / 2:g}" y="{y - top + 5:g}" text-anchor="middle">{escape(node.name)}</text>'
            )
    return "\n".join((*lines, "</svg>")) + "\n"
