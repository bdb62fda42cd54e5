"""What a feed is: its folders, its fields, and the landing table that holds its records."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from stedi.model.identity import COLUMNS, Identity
from stedi.model.table import Column, Rule, Table

FieldKind = Literal["text", "milliseconds", "number"]

# 2000-01-01 00:00 UTC. The sensors and the website are younger: earlier times come from a clock that was never set,
# which counts from 1970, or are in seconds.
FIRST_TIME_MS = 946_684_800_000
# One day: clocks run ahead, and local time taken for UTC is up to 14 hours ahead.
CLOCK_GRACE_MS = 86_400_000

_COLUMN_TYPES: dict[FieldKind, Literal["string", "long", "double"]] = {
    "text": "string",
    "milliseconds": "long",
    "number": "double",
}


def last_time_ms(arrived_ns: int) -> int:
    """The latest time that the records of a file may contain (ms since the epoch, UTC).

    It depends on the file alone, so that reading the file again gives the same rows.

    Args:
        arrived_ns: when the file was last written (ns since the epoch, UTC).
    """
    return arrived_ns // 1_000_000 + CLOCK_GRACE_MS


@dataclass(frozen=True)
class Field:
    """One field of a feed's records.

    A `milliseconds` field is a time: a whole number of milliseconds since the epoch, UTC, from `FIRST_TIME_MS` to
    the `last_time_ms` of its file.

    Its key may come in any case. An unreadable value of a `lenient` field keeps the record: the
    field is left empty and the value is kept among the extra fields. A field that `identifies` somebody
    or something is resolved when its record lands, into a column of that name.
    """

    name: str
    kind: FieldKind
    meaning: str
    required: bool = False
    personal: bool = False
    lenient: bool = False
    identifies: Identity | None = None


PROVENANCE = (
    Column("extra_fields", "string", "keys that the schema does not know, with their values, as JSON"),
    Column(
        "source_file",
        "string",
        "file that the record came from, relative to the landing folder",
        required=True,
    ),
    Column("source_position", "long", "number of the record in its file, from 1", required=True),
    Column("arrived_at", "timestamptz", "when the file was last written", required=True),
)


@dataclass(frozen=True)
class Feed:
    """One feed of JSON files: where they land and what their records hold.

    A record must hold at least one of the fields in `one_of`, where there are any. Where the feed
    `decides_consent`, a record that can't be used puts the consent of everybody whom it names on hold.
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
        """The fields that identify a person or a device, by the column of the landing table that holds which."""
        return {field.identifies: field for field in self.fields if field.identifies}

    @property
    def table(self) -> Table:
        """The landing table: the feed's fields as received, plus where each record came from."""
        columns = tuple(
            Column(f.name, _COLUMN_TYPES[f.kind], f.meaning, personal=f.personal, required=f.required) for f in self.fields
        )
        identities = tuple(
            replace(COLUMNS[identity], required=field.required) for identity, field in self.identifying.items()
        )
        # Keys that we do not know may hold anything, so they count as personal.
        provenance = (replace(PROVENANCE[0], personal=True), *PROVENANCE[1:])
        return Table(
            name=f"{self.name}_landing",
            zone="landing",
            meaning=self.meaning,
            grain="one record received",
            key=("source_file", "source_position"),
            columns=columns + identities + provenance,
            rules=self.rules,
            sort=("source_file", "source_position"),
        )
