"""What can be chosen about a deployment: names, sizes, limits. They are the context parameters of the CDK app."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stedi.errors import UsageError, unknown_name
from stedi.model.query_settings import MOST_TOLERANCE_MS, Policy, QuerySettings


class Deployment(BaseModel):
    """The choices of one deployment, with defaults for a small one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stack: str = Field(
        default="stedi",
        pattern=r"^[a-z][a-z0-9-]{0,29}$",
        description="name of the stack, and how the names of its jobs begin",
    )
    database: str = Field(
        default="stedi",
        pattern=r"^[a-z][a-z0-9_]{0,99}$",
        description="Glue database of the tables",
    )
    policy: Policy = Field(
        default="customer",
        description="which readings of a consenting customer to keep: all (customer) or those taken under consent (reading)",
    )
    alarm_drop: float = Field(
        default=0.5, gt=0, le=1, description="share of consenting customers whose loss in one run is no alarm yet; 1: never"
    )
    owners_confidence: float = Field(
        default=QuerySettings.owners_confidence,
        ge=0.5,
        lt=1,
        description="probability from which on reading times decide whose device it is",
    )
    match_tolerance_ms: int = Field(
        default=QuerySettings.match_tolerance_ms,
        ge=0,
        le=MOST_TOLERANCE_MS,
        description="how far apart the readings of a pair may be, where clocks disagree (ms)",
    )
    schedule: str = Field(
        default="cron(0 3 * * ? *)",
        pattern=r"^(cron|rate)\(.+\)$",
        description="when a run starts whether or not files arrived, as EventBridge has it (UTC)",
    )
    alarm_email: str | None = Field(
        default=None, pattern=r"^[^@\s]+@[^@\s]+$", description="address that gets the alarms; it has to confirm"
    )
    budget_usd: int = Field(default=50, ge=1, description="monthly cost of the account at which an alarm is sent (USD)")
    scan_limit_gb: int = Field(default=10, ge=1, le=7_000, description="what one Athena query may scan at most (GB)")
    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X"] = Field(default="G.1X", description="size of a Glue worker")
    workers: int = Field(default=2, ge=2, le=299, description="workers of a job, the one that leads them included")
    timeout_minutes: int = Field(default=120, ge=5, le=2_880, description="after which a job is stopped (minutes)")
    undo_days: int = Field(default=3, ge=1, le=30, description="how long S3 keeps what was deleted or overwritten (days)")


def load_deployment(given: Mapping[str, Any]) -> Deployment:
    """Check the choices that were given.

    Raises:
        UsageError: one is unknown, or its value is not valid.
    """
    for name in given:
        if name not in Deployment.model_fields:
            raise unknown_name("parameter", name, Deployment.model_fields)
    try:
        return Deployment.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise UsageError(f"parameter {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
