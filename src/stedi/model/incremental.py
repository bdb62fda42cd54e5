"""Incremental refresh of a table: which rows to recompute when an input changes."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class KeyedInput:
    """An input whose rows each affect one key of the table, at one time or at all times.

    A refresh reads only the input rows with affected keys and times.

    Attributes:
        key: SQL over the input's rows for the key. A row whose key is null affects nothing.
        time_ms: SQL over the input's rows for the affected time (ms since the epoch). A row whose time is null affects
            nothing. Without it a change affects the whole key.
        columns: the columns that the query reads; all when empty. A change in other columns is ignored.
        lookup_column: a column that determines `key` and has few distinct values. The key is then computed once per
            distinct value, and rows are looked up by this column, so that the Parquet reader can skip row groups.
        margin_ms: a row also affects the spans (see `IncrementalSpec`) that begin or end at most this far from its time.
    """

    key: str
    time_ms: str | None = None
    columns: tuple[str, ...] = ()
    lookup_column: str | None = None
    margin_ms: int = 0


@dataclass(frozen=True)
class BroadcastInput:
    """An input that every refresh reads as a whole, and whose changes affect whole keys.

    Attributes:
        keys: SQL query for the affected keys, as column `k`. It reads `{changed}`, the added and removed rows of the input.
        columns: the columns that the query reads; all when empty. A change in other columns is ignored.
    """

    keys: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class IncrementalSpec:
    """How changed input rows map to affected keys of a table.

    Times are grouped into spans of `span_ms`. The query must compute the rows of one key and span from the keyed inputs'
    rows of the same key whose time is in that span or in its margins. Either all keyed inputs have times or none has.

    Attributes:
        column: the table's column that contains the key. None if rows of one time depend on all keys: then all inputs
            give the same constant as key.
        inputs: one entry for each input of the table, by name.
        key: SQL that maps the inputs' key `k` to the value in `column`.
        span_ms: length of a span in milliseconds. The table's `day` column has the time of a row.
    """

    column: str | None
    inputs: Mapping[str, KeyedInput | BroadcastInput]
    key: str = "k"
    span_ms: int = 1

    def __post_init__(self) -> None:
        """Reject a specification that no refresh can compute.

        Raises:
            ValueError: only some keyed inputs have times, or a margin is longer than half a span.
        """
        if len({keyed.time_ms is None for keyed in self._keyed}) > 1:
            raise ValueError(f"incremental by {self.column}: give `time_ms` for all keyed inputs, or for none")
        # A time and its margins then overlap at most two spans: those that contain the ends of the margins.
        if self.has_margins and 2 * max(keyed.margin_ms for keyed in self._keyed) > self.span_ms:
            raise ValueError(f"incremental by {self.column}: a margin may be at most half of `span_ms`")

    @property
    def _keyed(self) -> list[KeyedInput]:
        return [keyed for keyed in self.inputs.values() if isinstance(keyed, KeyedInput)]

    @property
    def has_times(self) -> bool:
        """Whether a change can affect single spans of a key, and not only whole keys."""
        return any(keyed.time_ms is not None for keyed in self._keyed)

    @property
    def has_margins(self) -> bool:
        """Whether input rows outside a span can decide rows of that span."""
        return any(keyed.margin_ms for keyed in self._keyed)
