"""Progress reports of long operations."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One progress report.

    Attributes:
        step: what is being done, such as "reading files".
        done: finished units; None if they are not counted.
        total: all units; None if their number is not known.
        unit: what is counted, in the plural, such as "files".
    """

    step: str
    done: int | None = None
    total: int | None = None
    unit: str = ""


Report = Callable[[Progress], None]
