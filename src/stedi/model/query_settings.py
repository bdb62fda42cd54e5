"""Settings that decide the rows of tables, and the allowed values of some settings."""

from dataclasses import dataclass
from typing import Literal

Policy = Literal["customer", "reading"]
EngineName = Literal["embedded", "spark"]
# Largest tolerance that can be set. An incremental refresh reads readings this far around changed ones.
MOST_TOLERANCE_MS = 1_000


@dataclass(frozen=True)
class QuerySettings:
    """The settings that decide the rows of tables.

    The run log records them, so that `stedi verify` rebuilds the tables with the same values.

    Attributes:
        policy: which readings of a consenting customer to keep: all (`customer`), or those taken under consent (`reading`).
        owners_confidence: probability that a device's owner needs.
        match_tolerance_ms: largest difference between paired readings' times (ms), if clocks differ.
    """

    policy: str
    # Run logs of older versions lack these two.
    owners_confidence: float = 0.999
    match_tolerance_ms: int = 50
