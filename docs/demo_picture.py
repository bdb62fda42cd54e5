"""Draw a terminal session with the demo as an animated SVG: docs/demo.svg. Run by `make screenshots`."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

# The query that the demo proposes as the next step.
_QUERY = 'stedi --warehouse demo/lakehouse query "SELECT status, count(*) FROM device_owner GROUP BY ALL"'
_COLUMNS = 132
_CHARACTER_WIDTH, _LINE_HEIGHT, _EDGE = 7.2, 18, 16
_PROMPT = "$ "
_SECONDS_PER_CHARACTER, _SECONDS_PER_LINE, _PAUSE_SECONDS = 0.02, 0.15, 0.8


def picture(session: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Draw a session. Lines appear one after another. Renderers without CSS animation show all of them.

    Args:
        session: the commands, each with the lines that it prints.
    """
    lines: list[tuple[float, str, str]] = []
    seconds = 0.0
    for command, output in session:
        lines.append((seconds, "command", f"{_PROMPT}{command}"))
        seconds += _PAUSE_SECONDS + len(command) * _SECONDS_PER_CHARACTER
        for line in output:
            lines.append((seconds, "output", line.rstrip()))
            seconds += _SECONDS_PER_LINE
        seconds += _PAUSE_SECONDS
    width = 2 * _EDGE + max(len(line) for _, _, line in lines) * _CHARACTER_WIDTH
    height = 2 * _EDGE + len(lines) * _LINE_HEIGHT
    texts = [
        f'<text class="{name}" x="{_EDGE}" y="{_EDGE + (number + 0.75) * _LINE_HEIGHT:g}" '
        f'textLength="{len(line) * _CHARACTER_WIDTH:.1f}" style="animation-delay:{start:.2f}s">{escape(line)}</text>'
        for number, (start, name, line) in enumerate(lines)
        if line
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" xml:space="preserve" role="img" '
            'aria-label="a terminal with the demo of STEDI">',
            "<style>text{font:12px monospace;white-space:pre;animation:appear .1s both}"
            ".command{fill:#7ee787}.output{fill:#e6edf3}"
            "@keyframes appear{from{opacity:0}to{opacity:1}}"
            "@media(prefers-reduced-motion:reduce){text{animation:none}}</style>",
            f'<rect width="{width:g}" height="{height}" rx="8" fill="#0d1117"/>',
            *texts,
            "</svg>\n",
        ]
    )


def _record() -> list[tuple[str, list[str]]]:
    """Run the demo and the query that it proposes in a temporary folder."""
    program = [sys.executable, "-m", "stedi"]
    environment = os.environ | {"COLUMNS": str(_COLUMNS), "NO_COLOR": "1"}
    with tempfile.TemporaryDirectory() as folder:

        def run(*arguments: str) -> list[str]:
            done = subprocess.run(
                [*program, *arguments], cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, encoding="utf-8"
            )
            return done.stdout.splitlines()

        demo = run("demo")
        # Up to the end of the first table: what the run did to each table of the lakehouse.
        end = next(number for number, line in enumerate(demo) if number > 3 and not line.strip())
        query = run("--warehouse", "demo/lakehouse", "query", _QUERY.split('"')[1])
    return [("make demo", demo[:end]), (_QUERY, query)]


if __name__ == "__main__":
    Path(__file__).with_suffix("").with_name("demo.svg").write_text(picture(_record()), encoding="utf-8")
