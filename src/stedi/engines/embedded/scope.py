"""What changes of a table's inputs reach, and the rows within that reach."""

from collections.abc import Sequence
from dataclasses import dataclass

from stedi.engines.embedded.session import Session
from stedi.engines.embedded.sql import quoted, rows
from stedi.table import DataFiles, Dimension, Scope, Table


@dataclass(frozen=True)
class Change:
    """An input of a table: the files that it consists of, and those when the table last read it.

    `is_at_hand` says that the rows that came and went since then are those that the engine's
    last `difference` of the input found.
    """

    table: Table
    now: DataFiles
    before: DataFiles
    is_at_hand: bool = False


class Reach:
    """The keys, and the single moments of other keys, that changes reach; kept in temporary tables of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._keys = 0
        self._first_ms: int | None = None
        self._last_ms: int | None = None

    def find(self, scope: Scope, changes: Sequence[Change]) -> None:
        """Gather the keys, and the single moments of other keys, that changes of the inputs reach."""
        self._session.sql("CREATE OR REPLACE TEMP TABLE scope_keys (k VARCHAR)")
        self._session.sql("CREATE OR REPLACE TEMP TABLE scope_moments (k VARCHAR, t BIGINT)")
        for change in changes:
            reach = scope.inputs[change.table.name]
            changed = f"({changed_rows(change, reach.columns)})"
            if isinstance(reach, Dimension):
                self._session.sql(f"INSERT INTO scope_keys {reach.keys.replace('{changed}', changed)}")
            elif reach.moment is None:
                self._session.sql(f"INSERT INTO scope_keys SELECT {reach.key} FROM {changed} AS changed")
            else:
                self._session.sql(f"INSERT INTO scope_moments SELECT {reach.key}, {reach.moment} FROM {changed} AS changed")
        self._session.sql("CREATE OR REPLACE TEMP TABLE scope_keys AS SELECT DISTINCT k FROM scope_keys WHERE k IS NOT NULL")
        self._session.sql(
            "CREATE OR REPLACE TEMP TABLE scope_moments AS SELECT DISTINCT k, t FROM scope_moments "
            "WHERE k IS NOT NULL AND k NOT IN (SELECT k FROM scope_keys)"
        )
        [(first_ms, last_ms)] = self._session.sql("SELECT min(t), max(t) FROM scope_moments")
        self._keys, self._first_ms, self._last_ms = self._session.rows("scope_keys"), first_ms, last_ms

    def respell(self, key: str) -> None:
        """Let the scope name keys as the table does; each key is worked out once, however many moments it has."""
        self._session.sql(
            f"CREATE OR REPLACE TEMP TABLE scope_spellings AS SELECT k, {key} AS spelled "
            "FROM (SELECT k FROM scope_keys UNION SELECT k FROM scope_moments) AS keys"
        )
        for relation, more in (("scope_keys", ""), ("scope_moments", ", t")):
            self._session.sql(
                f"CREATE OR REPLACE TEMP TABLE {relation} AS "
                f"SELECT spelled AS k{more} FROM {relation} JOIN scope_spellings USING (k)"
            )

    def rows_within(self, source: str, key: str, moment: str | None, spelling: str | None) -> str:
        """SQL for those of some rows whose key, or key and moment, is in scope; to be run before the next is asked for."""
        parts = []
        if self._keys:
            wanted = f"{key} IN (SELECT k FROM scope_keys)"
            if spelling is not None:
                # The reader skips rows for values that it knows, not for expressions, which are worked
                # out once for each value.
                self._session.sql(
                    "CREATE OR REPLACE TEMP TABLE scope_values AS "
                    f"WITH spelled AS MATERIALIZED (SELECT DISTINCT {quoted(spelling)} FROM {source} AS rows) "
                    f"SELECT {quoted(spelling)} AS v FROM spelled WHERE {wanted}"
                )
                wanted = f"{quoted(spelling)} IN (SELECT v FROM scope_values)"
            parts.append(f"SELECT rows.* FROM {source} AS rows WHERE {wanted}")
        if moment is not None and self._first_ms is not None:
            # The span lets the reader skip what lies outside it.
            within = f"SELECT * FROM {source} AS rows WHERE {moment} BETWEEN {self._first_ms} AND {self._last_ms}"
            parts.append(
                f"SELECT rows.* FROM ({within}) AS rows "
                f"SEMI JOIN scope_moments ON {key} = scope_moments.k AND {moment} = scope_moments.t"
            )
        return " UNION ALL ".join(parts) or f"SELECT * FROM {source} AS rows WHERE false"


def moved_rows(table: Table) -> tuple[str, str]:
    """The relations of the rows that came and went in the last difference of a table."""
    return f"added_{table.name}", f"removed_{table.name}"


def names_of(table: Table, names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names or table.column_names)


def changed_rows(change: Change, names: Sequence[str]) -> str:
    """SQL for the rows of an input that came or went since its table last read it."""
    shown = names_of(change.table, names)
    if change.is_at_hand:
        came, went = (f"SELECT * FROM {quoted(relation)}" for relation in moved_rows(change.table))
        return f"SELECT {shown} FROM ({balance(shown, came, went)})"
    before, now = change.before, change.now
    # Deletes take rows out of files that stay, so only files under the same deletes hold the same rows.
    kept = set(before.paths) & set(now.paths) if before.deletes == now.deletes else set()
    came_files = DataFiles(tuple(path for path in now.paths if path not in kept), now.deletes)
    went_files = DataFiles(tuple(path for path in before.paths if path not in kept), before.deletes)
    came = rows(change.table, came_files)
    if not went_files:
        return f"SELECT {shown} FROM ({came}) AS came"
    return f"SELECT {shown} FROM ({balance(shown, came, rows(change.table, went_files))})"


def balance(names: str, one: str, other: str) -> str:
    """SQL for the rows that stand in one of two queries more often than in the other, and `n`, how much more.

    One pass over both, where EXCEPT ALL in both directions takes four times as long.
    """
    both = f"SELECT {names}, 1 AS n FROM ({one}) AS one UNION ALL SELECT {names}, -1 AS n FROM ({other}) AS other"
    return f"SELECT {names}, sum(n)::BIGINT AS n FROM ({both}) AS both_queries GROUP BY {names} HAVING sum(n) <> 0"
