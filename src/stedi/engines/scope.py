"""What changes of a table's inputs reach, and the rows within that reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stedi.engines.sql import balance, names_of, quoted
from stedi.table import DataFiles, Dimension, Scope, Table

if TYPE_CHECKING:
    from stedi.engines.engine import Engine


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
    """The keys, and the single moments of other keys, that changes reach; kept as relations of an engine."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._keys = 0
        self._first_ms: int | None = None
        self._last_ms: int | None = None

    def find(self, scope: Scope, changes: Sequence[Change]) -> None:
        """Gather the keys, and the single moments of other keys, that changes of the inputs reach."""
        keys, moments = ["SELECT NULL::VARCHAR AS k"], ["SELECT NULL::VARCHAR AS k, NULL::BIGINT AS t"]
        for change in changes:
            reach = scope.inputs[change.table.name]
            changed = f"({changed_rows(self._engine, change, reach.columns)})"
            if isinstance(reach, Dimension):
                keys.append(reach.keys.replace("{changed}", changed))
            elif reach.moment is None:
                keys.append(f"SELECT {reach.key} AS k FROM {changed} AS changed")
            else:
                moments.append(f"SELECT {reach.key} AS k, {reach.moment} AS t FROM {changed} AS changed")
        self._engine.keep("scope_keys", f"SELECT DISTINCT k FROM ({' UNION ALL '.join(keys)}) AS found WHERE k IS NOT NULL")
        self._engine.keep(
            "scope_moments",
            f"SELECT DISTINCT k, t FROM ({' UNION ALL '.join(moments)}) AS found "
            "WHERE k IS NOT NULL AND k NOT IN (SELECT k FROM scope_keys)",
        )
        [found] = self._engine.select(
            "SELECT min(t) AS first_ms, max(t) AS last_ms, (SELECT count(*) FROM scope_keys) AS n FROM scope_moments"
        )
        self._keys, self._first_ms, self._last_ms = found["n"], found["first_ms"], found["last_ms"]

    def respell(self, key: str) -> None:
        """Let the scope name keys as the table does; each key is worked out once, however many moments it has."""
        self._engine.keep(
            "scope_spellings",
            f"SELECT k, {key} AS spelled FROM (SELECT k FROM scope_keys UNION SELECT k FROM scope_moments) AS keys",
        )
        for relation, more in (("scope_keys", ""), ("scope_moments", ", t")):
            spelled = f"SELECT spelled AS k{more} FROM {relation} JOIN scope_spellings USING (k)"
            self._engine.keep(relation, spelled)

    def rows_within(self, source: str, key: str, moment: str | None, spelling: str | None) -> str:
        """SQL for those of some rows whose key, or key and moment, is in scope; to be run before the next is asked for."""
        parts = []
        if self._keys:
            wanted = f"{key} IN (SELECT k FROM scope_keys)"
            if spelling is not None:
                # The reader skips rows for values that it knows, not for expressions, which are worked
                # out once for each value.
                self._engine.keep(
                    "scope_values",
                    f"WITH spelled AS MATERIALIZED (SELECT DISTINCT {quoted(spelling)} FROM {source} AS rows) "
                    f"SELECT {quoted(spelling)} AS v FROM spelled WHERE {wanted}",
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


def changed_rows(engine: "Engine", change: Change, names: Sequence[str]) -> str:
    """SQL for the rows of an input that came or went since its table last read it."""
    shown = names_of(change.table, names)
    if change.is_at_hand:
        came, went = (f"SELECT * FROM {quoted(relation)}" for relation in moved_rows(change.table))
        return f"SELECT {shown} FROM ({balance(shown, came, went)}) AS moved"
    before, now = change.before, change.now
    # Deletes take rows out of files that stay, so only files under the same deletes hold the same rows.
    kept = set(before.paths) & set(now.paths) if before.deletes == now.deletes else set()
    came_files = now.part(path for path in now.paths if path not in kept)
    went_files = before.part(path for path in before.paths if path not in kept)
    came = engine.rows_of(change.table, came_files)
    if not went_files:
        return f"SELECT {shown} FROM ({came}) AS came"
    return f"SELECT {shown} FROM ({balance(shown, came, engine.rows_of(change.table, went_files))}) AS moved"
