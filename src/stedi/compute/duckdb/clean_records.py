"""SQL condition for clean records: those whose fields DuckDB can convert itself.

A record is clean if each of its keys is a field of the feed and occurs once. Each value must be spelled as JSON
spells a value of the field's type, or be null where the field may be absent.

For such a record DuckDB and Python's JSON decoder give the same row. `tests/integration/test_two_ways_to_read.py` tests it
with generated records.

The condition is complicated because its direct form is slow: listing each record's keys, and the JSON type of each
value. Here, cheap tests of the text decide nearly all records, and the direct tests decide the rest. CPU time to read
50 MB of clean readings (`bench/clean_records.py`): 0.0087 s/MB with the cheap tests, 0.0389 with the direct ones alone,
0.0068 without any test. Record by record in Python it is 0.134 (`bench/bad_files.py`).

DuckDB evaluates all operands of AND and OR, but only the necessary branches of CASE. So each shortcut is a CASE.
"""

from collections.abc import Sequence

from stedi.model.feed import FIRST_TIME_MS, Feed, Field
from stedi.model.sql import literal, literals, quoted

# The text is neither empty, nor blank, nor JSON: its first code point is neither white space nor [ nor {.
# Comparing one number costs a fifth of trimming the text. Scripts in a range with white space take the slow path.
_STARTS_WITH_A_CHARACTER = "(? BETWEEN 33 AND 122 AND ? <> 91 OR ? BETWEEN 161 AND 5759 OR ? > 12288)"
# The first code point is a letter, but not of NaN or Infinity, or the sign + that JSON does not allow.
# No IN with a list: DuckDB turns that into a join, and rows would lose the order of their file.
_STARTS_LIKE_NO_NUMBER = "(? = 43 OR ? BETWEEN 65 AND 122 AND ? <> 73 AND ? <> 78 AND ? <> 91 AND ? <> 105 AND ? <> 110)"


# The types to which DuckDB converts the values of clean records. Fields of other kinds take the slow path.
_JSON_TYPES = {"text": "VARCHAR", "milliseconds": "DOUBLE", "number": "DOUBLE"}


def json_type(field: Field) -> str:
    """Return the SQL type to which a field's values are converted on the fast path."""
    return _JSON_TYPES.get(field.kind, "VARCHAR")


def is_clean(feed: Feed, keys: Sequence[str], last_ms: Sequence[int], first: int) -> str:
    """SQL condition: the record is clean.

    It reads the columns `json` (the record), `file_number`, and one column of the converted value per field.

    Args:
        feed: the feed of the records.
        keys: the records' spelling of the feed's fields, in the fields' order.
        last_ms: the latest valid time of each file (ms since the epoch, UTC), by file number.
        first: number of the first file.
    """
    conditions = [_has_known_keys_once(feed, keys), *_spells_values_as_json_does(feed, keys)]
    for key, field in zip(keys, feed.fields, strict=True):
        value = quoted(field.name)
        is_valid = {
            "text": _is_plain_text(key, value),
            "number": f"isfinite({value})",
            "milliseconds": f"({_is_valid_time(value, last_ms, first)} AND {value} = floor({value}))",
        }.get(field.kind, "false")
        conditions.append(is_valid if field.required else f"({value} IS NULL OR {is_valid})")
    if feed.one_of:
        conditions.append(f"coalesce({', '.join(quoted(name) for name in feed.one_of)}) IS NOT NULL")
    return " AND ".join(conditions)


def _is_valid_time(value: str, last_ms: Sequence[int], first: int) -> str:
    """SQL condition: a number lies between the first valid time and the last one of the record's file."""
    in_every_file = f"{value} BETWEEN {FIRST_TIME_MS} AND {min(last_ms)}"
    if min(last_ms) == max(last_ms):
        return in_every_file
    # The file's own limit is looked up only for times after the earliest limit. A join would lose the order of rows.
    last = f"({last_ms}::DOUBLE[])[(file_number - {first} + 1)::BIGINT]"
    return f"CASE WHEN {in_every_file} THEN true ELSE {value} BETWEEN {FIRST_TIME_MS} AND {last} END"


def _has_known_keys_once(feed: Feed, keys: Sequence[str]) -> str:
    """SQL condition: the record has only known keys, each once, and no comma before its closing brace.

    A record with values for all n keys and fewer than n commas can't contain another key. Searching for n commas
    takes a quarter of the time of counting commas, and a fifth of listing keys.
    """
    is_present = [f"{quoted(field.name)} IS NOT NULL" for field in feed.fields]
    count_present = " + ".join(f"({condition})::INTEGER" for condition in is_present)
    count_commas = "len(string_split(json::VARCHAR, ',')) - 1"
    has_room_for_more = f"json LIKE {literal('%' + ',%' * len(keys))}"
    known = f"[{literals(keys)}]"
    places = f"[{literals('$.' + key for key in keys)}]"
    ends_in_a_comma = "suffix(rtrim(left(json, -1), ' \t\r'), ',')"
    return (
        # Shortcut 1: all fields are present, and there are too few commas for another key.
        f"CASE WHEN {' AND '.join(is_present)} AND NOT {has_room_for_more} THEN true "
        # Shortcut 2: as many commas as the present fields need.
        f"WHEN {count_commas} = {count_present} - 1 THEN true "
        # Direct test: keys are known and distinct, and those without a value are explicit nulls.
        f"ELSE list_has_all({known}, json_keys(json)) AND list_unique(json_keys(json)) = len(json_keys(json)) "
        f"AND len(json_keys(json)) = {count_present} "
        f"+ len(list_filter(json_type(json, {places}), lambda kind: kind = 'NULL')) "
        f"AND NOT {ends_in_a_comma} END"
    )


def _spells_values_as_json_does(feed: Feed, keys: Sequence[str]) -> list[str]:
    """SQL conditions: no value is a boolean, and no number is spelled like "1_000" or "+-5"."""
    fields = [(key, quoted(field.name), json_type(field) == "VARCHAR") for key, field in zip(keys, feed.fields, strict=True)]
    # DuckDB converts a bare true to 1 or 'true', depending on the field's type.
    may_be_boolean = " OR ".join(
        f"{value} = {converted}"
        for _, value, is_text in fields
        for converted in (("'true'", "'false'") if is_text else ("1", "0"))
    )
    numbers = f"json_extract_string(json, [{literals('$.' + key for key, _, is_text in fields if not is_text)}])"
    return [
        f"CASE WHEN {may_be_boolean} THEN NOT contains(json, 'true') AND NOT contains(json, 'false') ELSE true END",
        "CASE WHEN contains(json, '_') OR contains(json, '+-') OR contains(json, '\\') THEN "
        f"len(list_filter({numbers}, lambda text: contains(text, '_') OR contains(text, '+-'))) = 0 ELSE true END",
    ]


def _is_plain_text(key: str, value: str) -> str:
    """SQL condition: a text is neither empty, nor blank, nor JSON, and is in quotes in the record.

    DuckDB and Python convert bare numbers to different texts. A text that does not cast to a number is no bare
    number, and neither is one that starts with "+" or most letters. Quotes within strings are escaped, so the
    key followed by a quote can only be the field itself.
    """
    starts_like_no_number, starts, starts_after_blanks = (
        condition.replace("?", f"unicode({text})")
        for condition, text in (
            (_STARTS_LIKE_NO_NUMBER, value),
            (_STARTS_WITH_A_CHARACTER, value),
            (_STARTS_WITH_A_CHARACTER, f"ltrim({value}, ' ')"),
        )
    )
    is_quoted, is_quoted_after_blank = (f"contains(json, {literal(start)})" for start in (f'"{key}":"', f'"{key}": "'))
    return (
        f"CASE WHEN {starts_like_no_number} THEN true "
        f"WHEN CASE WHEN {starts} THEN true ELSE {starts_after_blanks} END IS DISTINCT FROM true THEN false "
        f"WHEN TRY_CAST({value} AS DOUBLE) IS NULL THEN true "
        f"WHEN {is_quoted} THEN true WHEN {is_quoted_after_blank} THEN true "
        f"ELSE json_type(json, {literal('$.' + key)}) = 'VARCHAR' END"
    )
