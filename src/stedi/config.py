"""Settings of the program: file < environment < options. Unknown keys are errors."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from stedi.errors import UsageError, unknown_name
from stedi.model.query_settings import MAX_TOLERANCE_MS, EngineName, Policy, QuerySettings
from stedi.storage import WarehouseFolder, open_warehouse, refuse_other_stores

# Pydantic puts this before the text of a ValueError.
PYDANTIC_PREFIX = "Value error, "
_PREFIX, _NESTED = "STEDI_", "__"
# Section and name of the settings that command-line options set without naming the section.
OPTIONS_OF_SECTIONS = {
    "policy": ("consent", "policy"),
    "alarm_drop": ("consent", "alarm_drop"),
    "owners_confidence": ("owners", "confidence"),
    "match_tolerance_ms": ("match", "tolerance_ms"),
}


class Consent(BaseModel):
    """Consent policy, and the alarm on lost consent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: Policy = Field(
        default="customer",
        description="readings to keep of a customer whose consent is in force; customer: all, "
        "reading: only those taken while it was in force",
    )
    alarm_drop: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="a run raises an alarm if it loses a larger share of the customers with consent in force, "
        "and there were at least 100; 1: never",
    )


class Owners(BaseModel):
    """Resolution of devices to owners."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    confidence: float = Field(
        default=QuerySettings.owners_confidence,
        ge=0.5,
        lt=1,
        description="minimum probability of an owner inferred from reading times; below it only a sole claim decides",
    )


class Match(BaseModel):
    """Pairing of the readings of both sensors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance_ms: int = Field(
        default=QuerySettings.match_tolerance_ms,
        ge=0,
        le=MAX_TOLERANCE_MS,
        description="maximum time between the readings of a pair in machine_learning_curated, for clocks that disagree (ms)",
    )


class Privacy(BaseModel):
    """Withdrawal, retention and erasure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str | None = Field(
        default=None,
        description="folder or s3:// prefix of the suppression list, the certificates of erasure and their keys; "
        "by default the warehouse's address with -privacy at its end. Restored backups must not replace it",
    )
    suppression_key: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="secret key of the suppression list; by default the first erasure stores one in a local privacy folder",
    )
    signing_key: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="Ed25519 key (PEM) that signs the certificates; by default the first one stores a key in a local "
        "privacy folder",
    )
    deadline_days: int = Field(
        default=30, ge=1, description="days in which a withdrawal must be in effect everywhere, and an erasure finished"
    )
    retention_days: int | None = Field(
        default=None,
        ge=1,
        description="days for which the landing files and raw records of people who never consented or withdrew are kept; "
        "by default without end",
    )
    controller: str | None = Field(
        default=None, min_length=1, description="name of the organisation that answers for the data, for `stedi access`"
    )
    contact: str | None = Field(
        default=None,
        min_length=1,
        description="where people reach it: a page, an address or a telephone number, for `stedi access`",
    )
    notice: str | None = Field(
        default=None,
        pattern=r"^https?://\S+$",
        description="URL of the privacy notice under which people consent, for `stedi access`",
    )

    @field_validator("folder")
    @classmethod
    def _check_folder(cls, place: str | None) -> str | None:
        return str(open_warehouse(place)) if place else None


class Settings(BaseModel):
    """All settings, as values. Environment variables are named STEDI_LANDING, STEDI_CONSENT__POLICY and so on."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    landing: str = Field(default="landing", min_length=1, description="folder or s3:// prefix with one folder a feed")
    database: str = Field(
        default="stedi",
        pattern=r"^[a-z0-9_]{1,255}$",
        description="Glue database of the tables of a warehouse in S3: lower-case letters, digits and _",
    )
    warehouse: str = Field(
        default="lakehouse",
        description="folder of the tables and their catalog, or s3:// prefix of tables in the Glue Data Catalog",
    )
    consent: Consent = Consent()
    owners: Owners = Owners()
    match: Match = Match()
    privacy: Privacy = Privacy()
    models: Path | None = Field(
        default=None, description="folder of the trained models; by default models in a local warehouse, else ./models"
    )
    pseudonym_key: SecretStr | None = Field(
        default=None, min_length=1, description="secret key of the pseudonyms; by default the first run generates one"
    )
    engine: EngineName = Field(default="embedded", description="engine that runs the queries: embedded or spark")
    keep_runs: int = Field(default=30, ge=1, description="number of finished runs that --as-of can read")
    maintain_every: int = Field(default=20, ge=0, description="number of runs from one maintenance to the next; 0: never")
    memory_limit: str | None = Field(default=None, description="memory limit of the embedded engine, such as 8GB")
    # The engine would start any number of threads, and thousands by mistake would freeze the machine.
    threads: int | None = Field(default=None, ge=1, le=1024, description="threads of the embedded engine, at most 1024")

    @property
    def of_queries(self) -> QuerySettings:
        """The settings that decide which rows the tables contain."""
        return QuerySettings(self.consent.policy, self.owners.confidence, self.match.tolerance_ms)

    @property
    def privacy_folder(self) -> str:
        """Address of the privacy folder, outside of the warehouse: a restored warehouse must not replace it."""
        if self.privacy.folder:
            return self.privacy.folder
        warehouse = open_warehouse(self.warehouse)
        if not isinstance(warehouse, WarehouseFolder):
            # A prefix beside a whole bucket would be in another bucket.
            return f"{warehouse}/privacy" if str(warehouse).count("/") == 2 else f"{warehouse}-privacy"
        # A folder beside `.` or `..` needs its real name.
        folder = warehouse.given if warehouse.given.name not in ("", "..") else warehouse.root
        return f"{folder}-privacy"

    @field_validator("landing", "warehouse", "models", mode="before")
    @classmethod
    def _refuse_nul(cls, place: object) -> object:
        if "\0" in str(place):
            raise ValueError("contains a NUL character, which no path may contain; remove it")
        return place

    @field_validator("landing")
    @classmethod
    def _check_landing(cls, place: str) -> str:
        refuse_other_stores(place)
        return place

    @field_validator("warehouse")
    @classmethod
    def _check_warehouse(cls, place: str) -> str:
        """Refuse an address at which no warehouse can be, before anything starts. Normalise the others."""
        if not place:
            raise ValueError("is empty; name a folder or an s3:// prefix")
        return str(open_warehouse(place))


class _EnvironmentSettings(Settings, BaseSettings):
    """The settings as pydantic-settings reads them from the environment."""

    model_config = SettingsConfigDict(extra="forbid", env_prefix=_PREFIX, env_nested_delimiter=_NESTED)


def load_settings(file: Path | None, options: dict[str, Any]) -> Settings:
    """Read the settings.

    Args:
        file: TOML file; by default `stedi.toml` in the working folder, if it exists.
        options: values of command-line options by name; None if an option is not given.

    Raises:
        UsageError: the file is missing or malformed, or a key, an environment variable or a value is not valid.
    """
    _check_environment()
    given = {key: value for key, value in options.items() if value is not None}
    for key, value in given.items():
        if isinstance(value, str) and not _is_utf8(value):
            option = f"--{key.replace('_', '-')}"
            raise UsageError(f"option {option} is not valid UTF-8; give it in UTF-8, in a UTF-8 locale")
    values = _read_file(file)
    for source in (_read_environment(), _sectioned(given)):
        values = _merged(values, source)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"setting {key!r}: {first['msg'].removeprefix(PYDANTIC_PREFIX)}") from None


def _check_environment() -> None:
    """Refuse environment variables that are not valid, which pydantic-settings would ignore.

    Raises:
        UsageError: a variable is unknown, empty, or not UTF-8.
    """
    # A misspelled STEDI_CONSENT__POLICY would silently leave the default policy.
    variables = list(_variables(Settings))
    for name, value in os.environ.items():
        if not name.upper().startswith(_PREFIX):
            continue
        if name.upper() not in variables:
            raise unknown_name("environment setting", name, variables)
        if not value.strip():
            # For example because a scheduler lacks the secret. An empty pseudonym key would be no secret.
            raise UsageError(f"environment setting {name} is empty; give it a value, or unset it")
        if not _is_utf8(value):
            raise UsageError(f"environment setting {name} is not valid UTF-8; give it in UTF-8, in a UTF-8 locale")


def _read_environment() -> dict[str, Any]:
    try:
        return EnvSettingsSource(_EnvironmentSettings)()
    except SettingsError as error:
        raise UsageError(f"{error}; in the environment, write a section as JSON") from None


def _read_file(file: Path | None) -> dict[str, Any]:
    """Read a settings file, by default stedi.toml if it exists. It may begin with a byte-order mark."""
    path = file or Path("stedi.toml")
    if file is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(f"configuration file {path} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"configuration file {path} can't be read: {error}") from None


def _sectioned(options: Mapping[str, Any]) -> dict[str, Any]:
    """Move options to their sections of the settings."""
    values: dict[str, Any] = {}
    for key, value in options.items():
        section, name = OPTIONS_OF_SECTIONS.get(key, (None, key))
        (values.setdefault(section, {}) if section else values)[name] = value
    return values


def _merged(values: Mapping[str, Any], stronger: Mapping[str, Any]) -> dict[str, Any]:
    """Merge settings key by key, also inside sections. Values of `stronger` win."""
    merged = {**values, **stronger}
    for key in values.keys() & stronger.keys():
        if isinstance(values[key], dict) and isinstance(stronger[key], dict):
            merged[key] = {**values[key], **stronger[key]}
    return merged


def _is_utf8(text: str) -> bool:
    """Whether a text from the operating system was valid UTF-8. Python decodes other bytes as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _variables(settings: type[BaseModel], prefix: str = _PREFIX) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        variable = prefix + name.upper()
        yield variable
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _variables(field.annotation, variable + _NESTED)
