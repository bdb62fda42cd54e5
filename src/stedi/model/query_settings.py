"""Settings that decide the rows of tables, and the allowed values of some settings."""

from dataclasses import dataclass
from typing import Literal

Policy = Literal["customer", "reading"]
EngineName = Literal["embedded", "spark"]
# Maximum tolerance that can be set. An incremental refresh reads all readings that are this near to changed ones.
MAX_TOLERANCE_MS = 1_000


@dataclass(frozen=True)
class QuerySettings:
    """The settings that decide the rows of tables.

    The run log records them, so that `stedi verify` rebuilds the tables with the same values.

    Attributes:
        policy: which readings of a consenting customer to keep: all (`customer`), or those taken under consent (`reading`).
        owners_confidence: minimum probability for an owner that is inferred from reading times.
        match_tolerance_ms: maximum time between the readings of a pair (ms), for clocks that disagree.
    """

    policy: str
    # Run logs of older versions lack these two.
    owners_confidence: float = 0.999
    match_tolerance_ms: int = 50
