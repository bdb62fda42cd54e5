"""The picture of the flow: no arrow runs behind a box."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

flow_picture = importlib.import_module("flow_picture")


class Box(NamedTuple):
    x: float
    y: float
    width: float
    height: float

    def contains(self, x: float, y: float) -> bool:
        """Whether a point is inside, edges excluded."""
        return self.x < x < self.x + self.width and self.y < y < self.y + self.height


def points(path: str) -> Iterator[tuple[float, float]]:
    """Points along a curve `M…C…`, with a straight line `H…` behind it or not."""
    (x0, y0, x1, y1, x2, y2, x3, y3, *end) = map(float, re.findall(r"-?[\d.]+", path))
    for step in range(201):
        t = step / 200
        weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
        yield (
            sum(w * x for w, x in zip(weights, (x0, x1, x2, x3), strict=True)),
            sum(w * y for w, y in zip(weights, (y0, y1, y2, y3), strict=True)),
        )
    for x in end:
        yield from ((x3 + (x - x3) * step / 200, y3) for step in range(201))


def test_no_arrow_runs_behind_a_box() -> None:
    svg = flow_picture.picture()
    shape = r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"'
    boxes = [Box(*map(float, found)) for found in re.findall(shape, svg)]
    paths = re.findall(r'<path d="(M[^"]+C[^"]+)"', svg)
    _, routes = flow_picture.layout()
    assert len(boxes) == svg.count("<text")
    assert len(paths) == svg.count('stroke="#888"')
    # Some arrow passes a column, so the test can fail.
    assert any(len(route) > 2 for route in routes)
    behind = {path for path in paths for point in points(path) if any(box.contains(*point) for box in boxes)}
    assert behind == set()


def test_every_declared_input_is_an_arrow() -> None:
    _, routes = flow_picture.layout()
    svg = flow_picture.picture()
    assert svg.count("marker-end") == len({(route[-2], route[-1]) for route in routes})
