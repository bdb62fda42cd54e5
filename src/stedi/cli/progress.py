"""Progress of a long command on standard error: a bar on a terminal, otherwise a line every ten seconds."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stedi.cli.text import duration
from stedi.model.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# Shorter commands show no progress.
_FIRST_SECONDS = 2.0
_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 10.0
_BAR_WIDTH = 30


class ProgressDisplay:
    """Displays the newest progress report in a separate thread. Call it to report progress."""

    def __init__(self, step: str) -> None:
        self._latest = Progress(step)
        self._first = self._latest
        self._step_began = time.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, progress: Progress) -> None:
        """Receive a report. Rate and time left continue over steps that count towards the same total."""
        is_same_count = (progress.total, progress.unit) == (self._latest.total, self._latest.unit)
        if not is_same_count or self._latest.done is None or (progress.done or 0) < self._latest.done:
            self._first, self._step_began = progress, time.monotonic()
        self._latest = progress

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the display while the context lasts, so that the command can prompt the user."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def start(self) -> None:
        """Start the display."""
        from rich.console import Console

        console = Console(stderr=True)
        is_bar = console.is_terminal and not console.is_dumb_terminal
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._draw if is_bar else self._print_lines, args=(console,) if is_bar else (), daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Remove the display."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _draw(self, console: "Console") -> None:
        if self._stop.wait(_FIRST_SECONDS):
            return
        from rich.live import Live
        from rich.spinner import Spinner

        spinner = Spinner("dots")
        with Live(
            get_renderable=lambda: self._bar(spinner),
            console=console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as live:
            while not self._stop.wait(_REDRAW_SECONDS):
                live.refresh()

    def _bar(self, spinner: "RenderableType") -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        latest = self._latest
        grid = Table.grid(padding=(0, 1))
        parts: list[RenderableType] = [spinner, Text(latest.step)]
        if latest.done is not None and latest.total:
            parts.append(ProgressBar(total=latest.total, completed=latest.done, width=_BAR_WIDTH))
        parts.append(Text(self.numbers(latest)))
        grid.add_row(*parts)
        return grid

    def _print_lines(self) -> None:
        while not self._stop.wait(_LINE_SECONDS):
            latest = self._latest
            numbers = self.numbers(latest)
            print(f"stedi: {latest.step}{': ' * bool(numbers)}{numbers}", file=sys.stderr, flush=True)

    def numbers(self, latest: Progress) -> str:
        """Return counts, share, rate and time left of the current step, as far as they are known."""
        if latest.done is None:
            return ""
        unit = f" {latest.unit}" if latest.unit else ""
        counts = f"{latest.done:,}{unit}" if latest.total is None else f"{latest.done:,} of {latest.total:,}{unit}"
        parts = [counts]
        if latest.total:
            parts.append(f"{latest.done / latest.total:.0%}")
        rate = (latest.done - (self._first.done or 0)) / max(time.monotonic() - self._step_began, 1e-3)
        if rate > 0:
            parts.append(f"{rate:,.0f}{unit}/s" if rate >= 1 else f"{1 / rate:,.0f} s each")
            if latest.total is not None and latest.done < latest.total:
                parts.append(f"{duration((latest.total - latest.done) / rate)} left")
        return ", ".join(parts)


@contextmanager
def progress(step: str) -> Iterator[ProgressDisplay]:
    """Display progress while the context lasts.

    Args:
        step: the step to display until the first report.
    """
    display = ProgressDisplay(step)
    display.start()
    try:
        yield display
    finally:
        display.stop()
