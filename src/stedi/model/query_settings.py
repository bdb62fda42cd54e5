"""Settings that decide the rows of tables, and the allowed values of some settings."""

from dataclasses import dataclass
from typing import Literal

Policy = Literal["customer", "reading"]
EngineName = Literal["embedded", "spark"]
# Largest tolerance that can be set. An incremental refresh reads all readings that are this near to changed ones.
MAX_TOLERANCE_MS = 1_000


@dataclass(frozen=True)
class QuerySettings:
    """The settings that decide the rows of tables.

    The run log records them, so that `stedi verify` rebuilds the tables with the same values.

    Attributes:
        policy: which readings of a consenting customer to keep: all (`customer`), or those taken under consent (`reading`).
        owners_confidence: least probability at which reading times decide the owner of a device.
        match_tolerance_ms: largest time between the readings of a pair (ms), for clocks that disagree.
    """

    policy: str
    # Run logs of older versions lack these two.
    owners_confidence: float = 0.999
    match_tolerance_ms: int = 50
