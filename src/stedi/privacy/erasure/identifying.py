"""Collect the values that identify the people in files, as the landing tables have them, before their rows are removed."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from stedi.catalog import Catalog
from stedi.compute import Backend
from stedi.ingest.suppression import SuppressionList
from stedi.model.feed import Feed
from stedi.model.sql import quoted
from stedi.privacy.erasure.search import People, history_of
from stedi.privacy.identifiers import Identifier, Kind, person_identifiers
from stedi.privacy.whose_rows import DEVICES, PEOPLE
from stedi.tables.landing import customer
from stedi.tables.landing.feeds import FEEDS

# Fields of the customer feed that identify somebody, beside the address and the serial number.
_KINDS: Mapping[str, Kind] = {"phone": "phone", "customerName": "name", "birthDay": "birthday"}


def identifiers(backend: Backend, catalog: Catalog, people: People, suppression: SuppressionList) -> tuple[Identifier, ...]:
    """Return the values that identify the people: addresses, names, phones, birthdays, serial numbers, pseudonyms.

    A value that somebody else's records have, too, is not demanded absent.

    Args:
        backend: has the relations of `search.search`.
        catalog: the catalog.
        people: the people.
        suppression: the suppression list.
    """
    values: dict[str, dict[str, set[str]]] = {address: defaultdict(set) for address in people.addresses}
    for feed in (feed for feed in FEEDS if "person" in feed.identifying):
        fields = {feed.identifying["person"].name: "address"}
        if feed is customer.FEED:
            fields |= _KINDS
        for row in _rows_of_people(backend, catalog, feed, fields):
            kinds = values[row["person"]]
            for name, kind in fields.items():
                if row[name] is not None:
                    kinds[kind].add(row[name])
    pseudonyms = {row["person"]: row["pseudonym"] for row in backend.select(f"SELECT person, pseudonym FROM {PEOPLE}")}
    devices = backend.select(f"SELECT DISTINCT serial, pseudonym FROM {DEVICES}")
    shared = _shared(backend, catalog, {value for kinds in values.values() for v in kinds.values() for value in v})
    shared_serials = _shared_serials(backend, catalog)
    shared |= shared_serials | {row["pseudonym"] for row in devices if row["serial"] in shared_serials}
    found: list[Identifier] = []
    for address, kinds in values.items():
        found += person_identifiers(
            suppression.person_digest(address),
            addresses={address, *kinds["address"]},
            phones=kinds["phone"],
            names=kinds["name"],
            birthdays=kinds["birthday"],
            pseudonyms=[pseudonyms[address]],
            shared=shared,
        )
    # Whose of the people a device was does not matter: none of them may be left.
    found += person_identifiers(
        "", serials={row["serial"] for row in devices}, pseudonyms={row["pseudonym"] for row in devices}, shared=shared
    )
    return tuple(found)


def _rows_of_people(backend: Backend, catalog: Catalog, feed: Feed, fields: Collection[str]) -> list[dict[str, Any]]:
    """Return the people's distinct values of some fields, in all snapshots of a landing table."""
    names = ", ".join(map(quoted, fields))
    rows = f"SELECT DISTINCT person, {names} FROM ({history_of(backend, catalog, feed)}) AS r"
    return backend.select(f"{rows} WHERE person IN (SELECT p.person FROM {PEOPLE} AS p)")


def _shared(backend: Backend, catalog: Catalog, values: Collection[str]) -> set[str]:
    """Return the values that records of other customers, or of nobody known, have, too."""
    backend.materialize_values("searched_values", [("value", "string", sorted(values))])
    rows = backend.scan(customer.FEED.table, catalog.files(customer.FEED.table.name))
    is_other = f"person IS NULL OR person NOT IN (SELECT p.person FROM {PEOPLE} AS p)"
    queries = [
        f"SELECT DISTINCT {quoted(name)} AS value FROM ({rows}) AS r "
        f"WHERE ({is_other}) AND {quoted(name)} IN (SELECT s.value FROM searched_values AS s)"
        for name in _KINDS
    ]
    return {row["value"] for row in backend.select(" UNION ".join(queries))}


def _shared_serials(backend: Backend, catalog: Catalog) -> set[str]:
    """Return the serial numbers of the people's devices that other customers' records have, or that had other owners."""
    serials = f"SELECT d.serial FROM {DEVICES} AS d"
    claims = backend.scan(customer.FEED.table, catalog.files(customer.FEED.table.name))
    is_other = f"(person IS NULL OR person NOT IN (SELECT p.person FROM {PEOPLE} AS p))"
    queries = [f"SELECT DISTINCT device AS serial FROM ({claims}) AS r WHERE {is_other} AND device IN ({serials})"]
    for feed in (feed for feed in FEEDS if "person" not in feed.identifying and "device" in feed.identifying):
        readings = backend.scan(feed.table, catalog.files(feed.table.name))
        time = quoted(next(field.name for field in feed.fields if field.required and field.kind == "milliseconds"))
        is_theirs = f"d.serial = device AND coalesce({time} >= d.from_ms, true) AND coalesce({time} < d.to_ms, true)"
        queries.append(
            f"SELECT DISTINCT device AS serial FROM ({readings}) AS r WHERE device IN ({serials}) "
            f"AND NOT EXISTS (SELECT 1 FROM {DEVICES} AS d WHERE {is_theirs})"
        )
    return {row["serial"] for row in backend.select(" UNION ".join(queries))}
