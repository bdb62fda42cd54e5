"""Old and new pseudonyms of everybody in the landing tables, and the tables that contain pseudonyms."""

from collections.abc import Collection, Iterator, Mapping

from stedi.catalog import Catalog
from stedi.compute import Backend
from stedi.compute.counts import count_rows
from stedi.model.identity import COLUMNS, keyed_digest, padded_keys, pseudonym
from stedi.model.sql import quoted
from stedi.model.table import Table
from stedi.privacy.identifiers import Identifier, person_identifiers
from stedi.tables.landing import quarantine
from stedi.tables.landing.feeds import FEEDS
from stedi.tables.registry import REFRESHED

# Name of the old key's parameters.
_OLD = "old_pseudonym"
_NAMES = {"person": "customer", "device": "device"}
_PARAMETERS = frozenset(padded_keys(b"any"))
# Relation with the columns old and new.
_PSEUDONYMS = "rekeyed_pseudonyms"


def pseudonymous_tables() -> tuple[Table, ...]:
    """Return the tables whose rows depend on the pseudonym key, in run order."""
    return tuple(table for table in REFRESHED if table.person_is_pseudonym or not _PARAMETERS.isdisjoint(table.parameters))


def old_parameters(old_key: bytes) -> dict[str, bytes]:
    """Return the query parameters of the old key. Those of the new one have the usual names."""
    return padded_keys(old_key, _OLD)


class PseudonymMap:
    """Old and new pseudonyms of all people and devices in the landing tables, and of people in quarantined records."""

    def __init__(self, backend: Backend, catalog: Catalog) -> None:
        """Compute all pseudonyms.

        Args:
            backend: has the parameters of both keys.
            catalog: the catalog.
        """
        self._backend = backend
        subjects = " UNION ".join(_subjects(backend, catalog))
        old, new = keyed_digest("subject", _OLD), pseudonym("subject")
        backend.materialize(_PSEUDONYMS, f"SELECT {old} AS old, {new} AS new FROM ({subjects}) AS subjects")

    def __len__(self) -> int:
        """Number of people and devices."""
        return count_rows(self._backend, f"SELECT * FROM {_PSEUDONYMS}")

    def new_pseudonyms(self, pseudonyms: Collection[str]) -> Mapping[str, str]:
        """Return the new pseudonym of each given one that belongs to a known person. New ones are returned unchanged."""
        self._backend.materialize_values("given_pseudonyms", [("pseudonym", "string", sorted(set(pseudonyms)))])
        # Two joins on equality: engines compare every pair of rows for one join with OR.
        queries = (
            f"SELECT g.pseudonym, r.new FROM given_pseudonyms AS g JOIN {_PSEUDONYMS} AS r ON g.pseudonym = r.{column}"
            for column in ("old", "new")
        )
        rows = self._backend.select(" UNION ALL ".join(queries))
        self._backend.drop("given_pseudonyms")
        return {row["pseudonym"]: row["new"] for row in rows}

    def identifiers(self, limit: int) -> tuple[Identifier, ...]:
        """Return old pseudonyms to search for.

        Args:
            limit: maximum number. Of more, a random sample is returned: new pseudonyms are random to whoever lacks the key.
        """
        rows = self._backend.select(f"SELECT old FROM {_PSEUDONYMS} ORDER BY new LIMIT {limit}")
        return person_identifiers("", pseudonyms=[row["old"] for row in rows])

    def count_old(self, table: Table, rows: str) -> int:
        """Count the rows of a table that contain an old pseudonym.

        Args:
            table: the table.
            rows: query for its rows.
        """
        columns = [column.name for column in table.columns if column.name.endswith("_pseudonym")]
        is_old = " OR ".join(f"{quoted(column)} IN (SELECT r.old FROM {_PSEUDONYMS} AS r)" for column in columns)
        return count_rows(self._backend, f"SELECT * FROM ({rows}) AS t WHERE {is_old or 'false'}")


def _subjects(backend: Backend, catalog: Catalog) -> Iterator[str]:
    """Yield queries for what the pseudonyms are digests of."""
    for feed in FEEDS:
        rows = backend.scan(feed.table, catalog.files(feed.table.name))
        for identity, field in feed.identifying.items():
            for column in (COLUMNS[identity].name, field.name):
                value = quoted(column)
                yield f"SELECT '{_NAMES[identity]}:' || {value} AS subject FROM ({rows}) AS r WHERE {value} IS NOT NULL"
    rows = backend.scan(quarantine.TABLE, catalog.files(quarantine.TABLE.name))
    people = f"SELECT unnest(string_split(people, chr(10))) AS person FROM ({rows}) AS r WHERE people IS NOT NULL"
    yield f"SELECT '{_NAMES['person']}:' || person AS subject FROM ({people}) AS people"
