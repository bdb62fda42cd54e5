"""How a person's rows are found in each table, and which files can't have any."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stedi.catalog.data_file import _lower_bound, _upper_bound
from stedi.catalog.value_search import may_contain
from stedi.compute.duckdb import DuckDBBackend
from stedi.model.identity import SHORT_PSEUDONYM_DIGITS, device_pseudonym, padded_keys
from stedi.model.table import Table
from stedi.privacy.whose_rows import PEOPLE, row_match, search_devices, search_people
from stedi.tables.registry import ALL, BY_NAME
from tests.support.memory import InMemoryBackend

ME, YOU = "me@x", "you@x"


def matched(backend: DuckDBBackend, table: Table, *rows: dict[str, Any]) -> list[int]:
    """The numbers of the rows that match."""
    columns = [(c.name, c.type, [row.get(c.name) for row in rows]) for c in table.columns]
    backend.materialize_values("r", [*columns, ("number", "long", list(range(len(rows))))])
    match = row_match(table)
    assert match is not None
    return [row["number"] for row in backend.select(f"SELECT number FROM r WHERE {match.condition} ORDER BY 1")]


def test_every_table_tells_how_to_find_a_person() -> None:
    found_by = {table.name: match and match.by for table in ALL for match in [row_match(table)]}
    assert found_by.pop("quarantine") == "quarantined record"
    assert found_by.pop("step_trainer_landing") == "device"
    assert found_by.pop("rule_result") == "example of a violation"
    assert {found_by.pop(name) for name in ("machine_learning_curated", "step_training_set")} == {"pseudonym"}
    assert set(found_by.values()) == {"address"}
    assert row_match(Table("t", "reference", "", "", (), ())) is None


def test_rows_are_found_by_address_pseudonym_device_and_quarantined_record(tmp_path: Path) -> None:
    with InMemoryBackend(scratch=tmp_path, threads=1) as backend:
        backend.set_parameters(padded_keys(b"key"))
        search_people(backend, [ME])
        [pseudonym] = (row["pseudonym"] for row in backend.select(f"SELECT pseudonym FROM {PEOPLE}"))
        [short] = backend.select(f"SELECT left({device_pseudonym('chr(115)')}, 12) AS short")
        backend.materialize_values(
            "device_owner",
            [
                ("serialNumber", "string", ["s", "s", "t"]),
                ("from_ms", "long", [None, 30, 50]),
                ("to_ms", "long", [20, 40, None]),
            ],
        )
        search_devices(backend, "device_owner")
        assert matched(backend, BY_NAME["customer_landing"], {"person": ME}, {"person": YOU}, {"person": None}) == [0]
        curated = BY_NAME["machine_learning_curated"]
        pseudonyms = [pseudonym, f"{pseudonym[:-1]}-", ME]
        assert matched(backend, curated, *({"customer_pseudonym": p} for p in pseudonyms)) == [0]
        people = [ME, f"{YOU}\n{ME}", f"x{ME}", None]
        assert matched(backend, BY_NAME["quarantine"], *({"people": p} for p in people)) == [0, 1]
        times = [("s", 1), ("s", 19), ("s", 20), ("s", 29), ("s", 30), ("s", 40), ("t", 49), ("t", 50), ("u", 35)]
        readings = [{"device": device, "sensorReadingTime": time} for device, time in times]
        assert matched(backend, BY_NAME["step_trainer_landing"], *readings) == [0, 1, 4, 7]
        start = pseudonym[:SHORT_PSEUDONYM_DIGITS]
        examples = [f'[{{"person": "{start}"}}]', f'[{{"serialNumber": "{short["short"]}"}}]', '[{"person": "0"}]', None]
        assert matched(backend, BY_NAME["rule_result"], *({"examples": text} for text in examples)) == [0, 1]


@given(st.lists(st.text(min_size=1), min_size=1), st.text())
def test_bounds_never_exclude_a_file_with_the_value(values: list[str], other: str) -> None:
    lower, upper = _lower_bound(min(values)), _upper_bound(max(values))
    bounds = SimpleNamespace(
        lower_bounds={1: str(lower).encode("utf-8", "surrogatepass")},
        upper_bounds={} if upper is None else {1: str(upper).encode("utf-8", "surrogatepass")},
    )
    file: Any = bounds
    assert all(may_contain(file, 1, [value.encode()]) for value in values)
    assert may_contain(file, 1, sorted([other.encode(), values[0].encode()]))
    assert not may_contain(file, 1, [])
    assert may_contain(file, 2, [other.encode()])


def test_bounds_exclude_values_outside() -> None:
    file: Any = SimpleNamespace(lower_bounds={1: b"b"}, upper_bounds={1: b"d"})
    assert [may_contain(file, 1, [value]) for value in (b"a", b"b", b"cc", b"d", b"da")] == [False, True, True, True, False]
