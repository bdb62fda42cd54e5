"""Values of settings that can also be given as options of commands, and the settings that queries depend on."""

from dataclasses import dataclass
from typing import Literal

Policy = Literal["customer", "reading"]
EngineName = Literal["embedded", "spark"]
# The readings that could pair are looked for this far beyond what changed.
MOST_TOLERANCE_MS = 1_000


@dataclass(frozen=True)
class QuerySettings:
    """The settings that decide which rows tables have.

    A run's record keeps them, so that `stedi verify` rebuilds the tables with the same ones.
    """

    policy: str
    # Records of versions that had no such setting lack it.
    owners_confidence: float = 0.999
    match_tolerance_ms: int = 50
