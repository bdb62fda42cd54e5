"""Why records are quarantined: every reason that the landing reader gives, what it means and what to do."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One reason for quarantine.

    `name` is the reason as the table contains it; `<field>` in it is the name of a field.
    """

    name: str
    meaning: str
    action: str

    def covers(self, reason: str) -> bool:
        """Whether a reason is this one, of whatever field."""
        return re.fullmatch(self.name.replace("<field>", r"\w+"), reason) is not None


_CUT = "the rest of the file is kept; send the file again"
_ARCHIVE = "what unpacks has landed; pack and send the file again"
_TIME = "times are milliseconds since the epoch, UTC"

# Of several that cover a reason the first counts.
REASONS: tuple[Reason, ...] = (
    Reason("not_json", "the text of the record is not valid JSON", "correct the record and send the file again"),
    Reason("not_an_object", "text that is no JSON object", "remove or correct it and send the file again"),
    Reason("not_utf8", "the text is not valid UTF-8", "write the file as UTF-8 and send it again"),
    Reason("nested_too_deep", "values are nested more than 100 levels deep", "send the record with flatter values"),
    Reason(
        "record_too_long", "the record has more than 16 MiB of text, of which both ends are kept", "send shorter records"
    ),
    Reason("unfinished_record", "the file ends within the record, such as after an upload that broke off", _CUT),
    Reason("broken_gzip", "a damaged place of a gzip archive; the raw text says where and how much is missing", _ARCHIVE),
    Reason("broken_bzip2", "a damaged place of a bzip2 archive; the raw text says where and how much is missing", _ARCHIVE),
    Reason("broken_zstd", "a damaged place of a zstd archive; the raw text says where and how much is missing", _ARCHIVE),
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
    Reason("<field>_not_a_number", "the value is no number", "send a number"),
    Reason("<field>_not_finite", "the number is too large", "send a number below 1.8e308"),
    Reason("<field>_not_milliseconds", "the time is no whole number", f"{_TIME}, without a fraction; round and send again"),
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
    """What a reason for quarantine means and what to do; empty where it is not declared.

    Tables may contain reasons of other versions of the program.
    """
    found = next((each for each in REASONS if each.covers(reason)), None)
    return f"{found.meaning}: {found.action}" if found else ""
