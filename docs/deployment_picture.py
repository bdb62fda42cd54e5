"""Draw the deployment on AWS: triggers, jobs in order, storage, readers."""

from html import escape

from stedi.aws.jobs import JOBS

_WIDTH, _HEIGHT, _GAP = 240, 46, 22
_COLOURS = {"start": "#eeeeee", "job": "#dbe9f6", "data": "#dff0d8", "read": "#fdebd0", "watch": "#f6dbdb"}
# Left edges of the columns: triggers, jobs, storage, readers.
_COLUMNS = (20, 330, 670, 980)

Box = tuple[str, str, str]


def _boxes() -> dict[str, tuple[float, float, Box]]:
    """Return (x, y, (colour, name, description)) of each box by its key."""
    jobs = {
        job.name: ("job", job.name, f"Glue job {number}{', publishes the run' if job.publishes else ''}")
        for number, job in enumerate(JOBS, start=1)
    }
    columns: tuple[dict[str, Box], ...] = (
        {
            "files": ("start", "landing bucket", "JSON files arrive"),
            "arrivals": ("start", "arrivals", "EventBridge, queue, pipe: 5 minutes"),
            "machine": ("start", "state machine", "one run at a time, retries"),
            "schedule": ("start", "schedule", "every night"),
        },
        jobs,
        {
            "tables": ("data", "lakehouse bucket", "Iceberg tables, runs, lock"),
            "catalog": ("data", "Glue Data Catalog", "current metadata of each table"),
            "secret": ("data", "Secrets Manager", "secret keys"),
            "keys": ("data", "KMS", "a key for data, one for the rest"),
        },
        {
            "formation": ("read", "Lake Formation", "grants pseudonymous columns"),
            "athena": ("read", "Athena workgroup", "limit, encryption, named queries"),
            "scientists": ("read", "data scientists", "curated, pseudonymous columns"),
            "alarms": ("watch", "alarms", "SNS: failed, missing, unsent, cost"),
        },
    )
    tallest = max(map(len, columns))
    boxes = {}
    for x, column in zip(_COLUMNS, columns, strict=True):
        step = tallest * (_HEIGHT + _GAP) / len(column)
        for row, (key, box) in enumerate(column.items()):
            boxes[key] = (x, 20 + step * row + (step - _HEIGHT) / 2, box)
    return boxes


def _arrows() -> list[tuple[str, str]]:
    return [
        ("files", "arrivals"),
        ("arrivals", "machine"),
        ("schedule", "machine"),
        *(("machine", job.name) for job in JOBS),
        *((job.name, "tables") for job in JOBS),
        ("tables", "catalog"),
        ("formation", "athena"),
        ("athena", "scientists"),
        ("catalog", "formation"),
    ]


def picture() -> str:
    """Return the picture as SVG."""
    boxes = _boxes()
    width = _COLUMNS[-1] + _WIDTH + 20
    height = 40 + len(JOBS) * (_HEIGHT + _GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#888"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    lines += [_arrow(boxes[source], boxes[target]) for source, target in _arrows()]
    for x, y, (colour, name, what) in boxes.values():
        middle = x + _WIDTH / 2
        lines.append(
            f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{_COLOURS[colour]}" stroke="#666"/>'
            f'<text x="{middle:g}" y="{y + 19:g}" text-anchor="middle" font-size="13">{escape(name)}</text>'
            f'<text x="{middle:g}" y="{y + 36:g}" text-anchor="middle" font-size="11" fill="#555">{escape(what)}</text>'
        )
    return "\n".join((*lines, "</svg>")) + "\n"


def _arrow(source: tuple[float, float, Box], target: tuple[float, float, Box]) -> str:
    """Draw an arrow: vertical inside a column, to the right between columns."""
    (x0, y0, _), (x1, y1, _) = source, target
    if x0 == x1:
        down = y0 < y1
        start, end = (x0 + _WIDTH / 2, y0 + _HEIGHT * down), (x1 + _WIDTH / 2, y1 + _HEIGHT * (not down))
        path = f"M{start[0]:g} {start[1]:g}L{end[0]:g} {end[1]:g}"
    else:
        start, end = (x0 + _WIDTH, y0 + _HEIGHT / 2), (x1, y1 + _HEIGHT / 2)
        middle = (start[0] + end[0]) / 2
        path = f"M{start[0]:g} {start[1]:g}C{middle:g} {start[1]:g} {middle:g} {end[1]:g} {end[0]:g} {end[1]:g}"
    return f'<path d="{path}" fill="none" stroke="#888" marker-end="url(#tip)"/>'
