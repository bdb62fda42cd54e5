"""Reasons for quarantine, each with its meaning and what the sender should do."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One reason for quarantine.

    Attributes:
        name: the reason as in the table `quarantine`; `<field>` stands for the name of a field.
        meaning: what is wrong with the record.
        action: what the sender should do.
    """

    name: str
    meaning: str
    action: str

    def covers(self, reason: str) -> bool:
        """Whether a reason from the table is this one, for any field."""
        return re.fullmatch(self.name.replace("<field>", r"\w+"), reason) is not None


_CUT = "the other records of the file were ingested; send the file again"
_DAMAGED = "the intact part was ingested; compress the file again and send it"
_TIME = "times are milliseconds since the epoch, UTC"

# The first entry that covers a reason applies.
REASONS: tuple[Reason, ...] = (
    Reason("not_json", "the text of the record is not valid JSON", "correct the record and send the file again"),
    Reason("not_an_object", "the text is not a JSON object", "remove or correct it and send the file again"),
    Reason("not_utf8", "the text is not valid UTF-8", "write the file as UTF-8 and send it again"),
    Reason("nested_too_deep", "values are nested more than 100 levels deep", "send the record with flatter values"),
    Reason(
        "record_too_long",
        "the record has more than 16 MiB of text; only its two ends are kept",
        "send shorter records",
    ),
    Reason("unfinished_record", "the file ends within the record, such as after an interrupted upload", _CUT),
    Reason("broken_gzip", "a damaged place of a gzip file; the raw text says where and how much is missing", _DAMAGED),
    Reason("broken_bzip2", "a damaged place of a bzip2 file; the raw text says where and how much is missing", _DAMAGED),
    Reason("broken_zstd", "a damaged place of a zstd file; the raw text says where and how much is missing", _DAMAGED),
    Reason(
        "<field>_missing", "a field that every record must have is absent, null or empty", "send the record with the field"
    ),
    Reason(
        "<field>_given_twice",
        "the record has the field several times, with different values, or null and a value",
        "send it with one value",
    ),
    Reason(
        "<field>_not_one_address",
        "the field contains several addresses, or a name and an address without angle brackets",
        "send one address a record",
    ),
    Reason("<field>_not_text", "the field is a list and must be text", "send the value as text"),
    Reason("<field>_not_a_number", "the value is not a number", "send a number"),
    Reason("<field>_not_finite", "the number is too large", "send a number below 1.8e308"),
    Reason("<field>_not_milliseconds", "the time is not a whole number", f"{_TIME}, without a fraction; round it"),
    Reason(
        "<field>_perhaps_in_seconds", "the time may be in seconds", f"{_TIME}; multiply by 1,000 and send the file again"
    ),
    Reason(
        "<field>_perhaps_in_microseconds",
        "the time may be in microseconds",
        f"{_TIME}; divide by 1,000 and send the file again",
    ),
    Reason(
        "<field>_perhaps_in_nanoseconds",
        "the time may be in nanoseconds",
        f"{_TIME}; divide by 1,000,000 and send the file again",
    ),
    Reason("<field>_before_2000", "the time is before 2000-01-01 00:00 UTC", f"{_TIME}; set the clock and correct the time"),
    Reason(
        "<field>_after_arrival",
        "the time is more than a day after the file was last written",
        f"{_TIME}; set the clock of the sender, or the file's modification time, and send the file again",
    ),
)


def explain(reason: str) -> str:
    """Explain a reason for quarantine: meaning and action. Empty for the unknown reasons of other versions."""
    return next((f"{known.meaning}: {known.action}" for known in REASONS if known.covers(reason)), "")
