"""Parameters of a deployment: names, sizes, limits. The CDK app receives them as its context."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stedi.config import OPTIONS_OF_SECTIONS, Settings
from stedi.errors import UsageError, unknown_name
from stedi.model.query_settings import Policy


def _setting(option: str) -> Any:
    """The declaration of the setting that a command-line option sets."""
    section, name = OPTIONS_OF_SECTIONS[option]
    settings: BaseModel = Settings.model_fields[section].default
    return type(settings).model_fields[name]


# ARN of a role or user. Its name may contain a comma, which separates them here.
_PRINCIPAL = r"arn:[a-z-]+:iam::[0-9]{12}:(role|user)/[A-Za-z0-9_+=.@/-]+"


class DeploymentParameters(BaseModel):
    """Parameters of one deployment, with defaults for a small one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stack: str = Field(
        default="stedi",
        pattern=r"^[a-z][a-z0-9-]{0,29}$",
        description="name of the stack, and prefix of its jobs' names",
    )
    database: str = Field(
        default="stedi",
        pattern=r"^[a-z][a-z0-9_]{0,99}$",
        description="Glue database of the tables",
    )
    # Default, bounds and description are those of the setting that the jobs get.
    policy: Policy = _setting("policy")
    alarm_drop: float = _setting("alarm_drop")
    owners_confidence: float = _setting("owners_confidence")
    match_tolerance_ms: int = _setting("match_tolerance_ms")
    schedule: str = Field(
        default="cron(0 3 * * ? *)",
        pattern=r"^(cron|rate)\(.+\)$",
        description="EventBridge schedule of runs, with or without new files (UTC)",
    )
    alarm_email: str | None = Field(
        default=None,
        pattern=r"^[^@\s]+@[^@\s]+$",
        description="e-mail address for alarms; AWS asks its owner to confirm the subscription",
    )
    budget_usd: int = Field(
        default=50, ge=1, description="monthly budget of the whole account, with alarms at 80% and 100% (USD)"
    )
    scan_limit_gb: int = Field(default=10, ge=1, le=7_000, description="scan limit of one Athena query (GB)")
    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X"] = Field(default="G.1X", description="size of a Glue worker")
    workers: int = Field(default=2, ge=2, le=299, description="workers of a job, including the driver")
    timeout_minutes: int = Field(default=120, ge=5, le=2_880, description="timeout of a job (minutes)")
    officers: str | None = Field(
        default=None,
        pattern=rf"^{_PRINCIPAL}(,{_PRINCIPAL})*$",
        description="ARNs of the IAM roles and users that may assume the privacy officer's role, with commas between them",
    )
    undo_days: int = Field(default=3, ge=1, le=30, description="how long S3 keeps deleted and overwritten objects (days)")

    @property
    def officer_arns(self) -> tuple[str, ...]:
        """The principals that may assume the privacy officer's role."""
        return tuple(self.officers.split(",")) if self.officers else ()


def load_parameters(given: Mapping[str, Any]) -> DeploymentParameters:
    """Validate parameters.

    Raises:
        UsageError: a parameter is unknown, or its value is not valid.
    """
    for name in given:
        if name not in DeploymentParameters.model_fields:
            raise unknown_name("parameter", name, DeploymentParameters.model_fields)
    try:
        return DeploymentParameters.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise UsageError(f"parameter {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
