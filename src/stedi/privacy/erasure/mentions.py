"""Records of others that mention the people: they stay, so what they mention can't be demanded absent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from stedi.catalog import Catalog
from stedi.compute import Backend
from stedi.compute.counts import count_rows
from stedi.model.data_files import DataFiles
from stedi.model.feed import Feed
from stedi.model.sql import literal, quoted
from stedi.privacy.erasure.plan import Remains
from stedi.privacy.erasure.search import RAW_RECORDS, history_of, quarantine_files
from stedi.privacy.identifiers import BOUND_LENGTH, Identifier
from stedi.privacy.other_people import MAY_NAME_PEOPLE
from stedi.privacy.scan.search import Matcher, Search, View
from stedi.privacy.whose_rows import DEVICES, PEOPLE, TIMES, row_match
from stedi.tables.landing import customer, quarantine
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.reference import device_owner

_WHY = {
    "records of others that mention them": "they are other people's data; correct the landing file if they should not",
    "records of others with a serial number of theirs": (
        "the fulfilment system reuses numbers, or the device had another owner, too"
    ),
    "readings of devices that they claimed, whose owner is not clear": (
        "they may be somebody else's; `stedi devices` shows what is known about the devices"
    ),
    "records without an address that may be theirs": (
        "nobody can tell whose they are; if they are theirs, delete them from the landing file, then start "
        "`stedi erase --restore-check`"
    ),
}
_OF_OTHERS, _REUSED, _UNCLEAR, _OF_NOBODY = _WHY
# Braces end a record for the search, so that name and birthday of two records are not taken for one.
_BETWEEN_RECORDS = "\n}\n{\n"
_TEXTS, _TEXTS_A_PART = "texts_of_others", 10_000


@dataclass(frozen=True)
class Mentions:
    """What the records of others have of the people.

    Attributes:
        identifiers: the identifiers. Those that others' records have, too, are not demanded absent.
        remains: the records, counted.
    """

    identifiers: tuple[Identifier, ...]
    remains: tuple[Remains, ...]


def find_mentions(backend: Backend, catalog: Catalog, identifiers: Sequence[Identifier]) -> Mentions:
    """Search the records of others in all snapshots for identifiers of the people.

    Args:
        backend: has the relations of `search.search`.
        catalog: the catalog.
        identifiers: the people's identifiers.
    """
    matcher = Matcher(identifiers)
    counts = {**dict.fromkeys(_WHY, 0), _REUSED: _reused_serials(backend, catalog), _UNCLEAR: _unclear(backend, catalog)}
    mentioned: set[int] = set()
    for texts, is_of_nobody in _records_of_others(backend, catalog):
        if not _search(matcher, texts).by_kind():
            continue
        for text in texts.split(_BETWEEN_RECORDS):
            search = _search(matcher, text)
            search.by_kind()
            found = {number for number, count in search.counts.items() if count}
            found = {number for number in found if _counts(number, found, identifiers)}
            counts[_OF_NOBODY if is_of_nobody else _OF_OTHERS] += bool(found)
            mentioned |= found
    # Iceberg's bounds have the start of a value only, which others' values may have, too.
    starts = {identifiers[number].value.casefold()[:BOUND_LENGTH] for number in mentioned}
    kept = [
        replace(identifier, demanded_absent=False)
        if number in mentioned or identifier.value.casefold()[:BOUND_LENGTH] in starts
        else identifier
        for number, identifier in enumerate(identifiers)
        # A birthday counts only together with the name. Where others have both, it proves nothing.
        if not (number in mentioned and identifier.kind == "birthday")
    ]
    return Mentions(tuple(kept), tuple(Remains(what, count, _WHY[what]) for what, count in counts.items() if count))


def _search(matcher: Matcher, text: str) -> Search:
    search = Search(matcher)
    search.add_stream((text.encode("utf-8", "surrogatepass"),), View.TEXT)
    return search


def _counts(number: int, found: set[int], identifiers: Sequence[Identifier]) -> bool:
    """Whether an identifier counts: alone, or as name and birthday of one person."""
    identifier = identifiers[number]
    if identifier.demanded_absent:
        return True
    kinds = {identifiers[other].kind for other in found if identifiers[other].subject == identifier.subject}
    return identifier.kind in ("name", "birthday") and {"name", "birthday"} <= kinds


def _of_others(feed: Feed, rows: str) -> str:
    """SQL query for the rows of a landing table that are not the people's."""
    match = row_match(feed.table)
    assert match is not None
    return f"SELECT * FROM ({rows}) AS h WHERE NOT coalesce({match.condition}, false)"


def _reused_serials(backend: Backend, catalog: Catalog) -> int:
    """Count the current records of others with the serial number of a device of the people."""
    counts = 0
    for feed in FEEDS:
        if "device" in feed.identifying:
            rows = backend.scan(feed.table, catalog.files(feed.table.name))
            of_devices = f"SELECT * FROM ({rows}) AS r WHERE device IN (SELECT s.serial FROM {DEVICES} AS s)"
            counts += count_rows(backend, _of_others(feed, of_devices))
    return counts


def _unclear(backend: Backend, catalog: Catalog) -> int:
    """Count the current readings of devices that the people claimed, in periods without a known owner."""
    claims = backend.scan(customer.FEED.table, catalog.files(customer.FEED.table.name))
    claimed = f"SELECT c.device FROM ({claims}) AS c WHERE c.person IN (SELECT p.person FROM {PEOPLE} AS p)"
    owners = backend.scan(device_owner.TABLE, catalog.files(device_owner.TABLE.name))
    counts = 0
    for feed in FEEDS:
        if "device" in feed.identifying and "person" not in feed.identifying:
            time = f"r.{quoted(TIMES[feed.table.name])}"
            rows = backend.scan(feed.table, catalog.files(feed.table.name))
            counts += count_rows(
                backend,
                f"SELECT * FROM ({rows}) AS r JOIN ({owners}) AS o ON o.person IS NULL AND o.serialNumber = r.device AND "
                f"coalesce({time} >= o.from_ms, true) AND coalesce({time} < o.to_ms, true) WHERE r.device IN ({claimed})",
            )
    return counts


def _records_of_others(backend: Backend, catalog: Catalog) -> Iterator[tuple[str, bool]]:
    """Yield the distinct texts of records of others in parts, and whether nobody knows whose they are.

    The texts of a part are joined by `_BETWEEN_RECORDS`. A search of one long text takes a hundredth of the time of many
    searches, and not all texts may fit into memory.
    """
    for feed in FEEDS:
        rows, is_of_nobody, texts = history_of(backend, catalog, feed), "false", ["extra_fields"]
        if "person" in feed.identifying:
            texts += [quoted(field.name) for field in feed.fields if field.kind == "text"]
            is_of_nobody = "person IS NULL"
        else:
            rows = f"SELECT * FROM ({rows}) AS t WHERE extra_fields IS NOT NULL"
        distinct = (
            f"SELECT DISTINCT concat_ws(chr(10), {', '.join(texts)}) AS text, {is_of_nobody} AS is_of_nobody "
            f"FROM ({_of_others(feed, rows)}) AS r"
        )
        # Customers have hundreds of bytes each. Of readings only texts that may contain an address are searched.
        condition = "true" if feed.decides_consent else f"regexp_matches(text, {literal(MAY_NAME_PEOPLE)})"
        yield from _in_parts(backend, f"SELECT text, is_of_nobody FROM ({distinct}) AS d WHERE {condition}")
    if paths := quarantine_files(catalog):
        records = backend.scan(quarantine.TABLE, DataFiles(tuple(paths), is_part=True))
        yield from _in_parts(
            backend,
            f"SELECT DISTINCT raw_record AS text, people IS NULL AS is_of_nobody FROM ({records}) AS r "
            f"WHERE raw_record NOT IN (SELECT t.text FROM {RAW_RECORDS} AS t)",
        )


def _in_parts(backend: Backend, texts: str) -> Iterator[tuple[str, bool]]:
    """Read the texts of a query in parts of about `_TEXTS_A_PART`, by the first digits of their digest."""
    backend.materialize(_TEXTS, texts)
    parts = count_rows(backend, f"SELECT * FROM {_TEXTS}") // _TEXTS_A_PART
    digits = 0 if parts == 0 else 1 if parts < 16 else 2
    for number in range(16**digits):
        start = f"{number:0{digits}x}" if digits else ""
        rows = backend.select(
            f"SELECT is_of_nobody, string_agg(text, {literal(_BETWEEN_RECORDS)}) AS texts FROM {_TEXTS} "
            f"WHERE left(md5(text), {digits}) = {literal(start)} GROUP BY is_of_nobody"
        )
        yield from ((row["texts"], row["is_of_nobody"]) for row in rows)
    backend.drop(_TEXTS)
