"""Feeds: kinds of landing files, with their folders, fields and landing table."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from stedi.model.column_types import ColumnType
from stedi.model.identity import COLUMNS, Identity
from stedi.model.rules import Rule
from stedi.model.table import Column, Table

FieldKind = Literal["text", "milliseconds", "number"]

# 2000-01-01 00:00 UTC. The sensors and the website are younger. An earlier time is in seconds, or comes from a clock that
# was never set and counts from 1970.
FIRST_TIME_MS = 946_684_800_000
# One day: clocks run ahead, and local time mistaken for UTC is up to 14 hours ahead.
CLOCK_GRACE_MS = 86_400_000

_COLUMN_TYPES: Mapping[FieldKind, ColumnType] = {"text": "string", "milliseconds": "long", "number": "double"}


def last_time_ms(arrived_ns: int) -> int:
    """Return the latest time that a file's records may contain (ms since the epoch, UTC).

    It depends only on the file, so that reading the file again gives the same rows.

    Args:
        arrived_ns: modification time of the file (ns since the epoch, UTC).
    """
    return arrived_ns // 1_000_000 + CLOCK_GRACE_MS


@dataclass(frozen=True)
class Field:
    """A field of a feed's records. Its JSON key is case-insensitive.

    Attributes:
        name: JSON key, and column of the landing table.
        kind: `text`, `number`, or `milliseconds`: a time as a whole number of milliseconds since the epoch, UTC, from
            `FIRST_TIME_MS` to `last_time_ms` of the file.
        meaning: what a value means, with its unit.
        required: whether a record without a value is quarantined.
        personal: whether values identify a person or a device.
        lenient: whether a record with an unreadable value is kept. The column is then null, and the value goes to
            `extra_fields`.
        identifies: the column for the field's normalised value, if the field identifies a person or a device.
    """

    name: str
    kind: FieldKind
    meaning: str
    required: bool = False
    personal: bool = False
    lenient: bool = False
    identifies: Identity | None = None

    @property
    def column_type(self) -> ColumnType:
        """The type of the field's column."""
        return _COLUMN_TYPES[self.kind]


PROVENANCE = (
    # Unknown keys may contain anything, so they count as personal.
    Column("extra_fields", "string", "unknown keys of the record with their values, as JSON", personal=True),
    Column("source_file", "string", "file of the record, relative to the landing folder", required=True),
    Column("source_position", "long", "number of the record in its file, from 1", required=True),
    Column("arrived_at", "timestamptz", "modification time of the file", required=True),
)


@dataclass(frozen=True)
class Feed:
    """A feed of JSON files.

    Attributes:
        name: feed name.
        folders: names of subfolders of the landing folder; each may contain files of the feed.
        fields: fields of a record.
        meaning: what the landing table contains.
        one_of: fields of which a record must have at least one; empty if there is no such condition.
        rules: rules of the landing table.
        decides_consent: whether an unusable record puts the consent of everybody named in it on hold.
    """

    name: str
    folders: tuple[str, ...]
    fields: tuple[Field, ...]
    meaning: str
    one_of: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    decides_consent: bool = False

    @property
    def identifying(self) -> Mapping[Identity, Field]:
        """The fields that identify a person or a device, by the column for their normalised value."""
        return {field.identifies: field for field in self.fields if field.identifies}

    @property
    def table(self) -> Table:
        """The landing table: the fields as received, the normalised person and device, and the record's provenance."""
        fields = tuple(Column(f.name, f.column_type, f.meaning, f.personal, f.required) for f in self.fields)
        identities = tuple(
            replace(COLUMNS[identity], required=field.required) for identity, field in self.identifying.items()
        )
        return Table(
            name=f"{self.name}_landing",
            zone="landing",
            meaning=self.meaning,
            grain="one record",
            key=("source_file", "source_position"),
            columns=fields + identities + PROVENANCE,
            rules=self.rules,
            sort=("source_file", "source_position"),
        )
