"""What the catalog is told of a file is what the file holds."""

from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import DataFile

from stedi.catalog import Catalog
from stedi.catalog.data_file import as_data_file
from stedi.compute.duckdb import DuckDBBackend
from stedi.compute.incremental import ComputedRows, TemporaryRelations, diff, write_delta
from stedi.model.data_files import DataFiles
from stedi.model.table import Table
from stedi.storage.paths import location, plain_path
from stedi.tables.registry import BY_NAME
from tests.support.data_files import CUSTOMER, LATEST_DAY_MS, ODD_RECORDS, READINGS, assert_same_description, rows
from tests.support.lake import Lake


def described(lake: Lake, table: Table, query: str) -> list[tuple[DataFile, DataFile]]:
    """Files written for a table: as we describe them, and as PyIceberg does after reading them."""
    with Catalog(lake.open_warehouse(), create=True) as catalog, DuckDBBackend(scratch=lake.landing) as engine:
        written = engine.write(table, query, catalog.data_folder(table))
        metadata = catalog.table_metadata(table.name)
        assert metadata is not None
        iceberg = catalog.iceberg.table(table.name, metadata)
        return [
            (
                as_data_file(file, iceberg.metadata),
                parquet_file_to_data_file(iceberg.io, iceberg.metadata, location(file.path)),
            )
            for file in written
        ]


def test_texts_moments_and_empty_columns_are_described_as_by_reading_the_file(lake: Lake) -> None:
    [(ours, theirs)] = described(lake, CUSTOMER, ODD_RECORDS)
    assert_same_description(ours, theirs)
    assert ours.lower_bounds == theirs.lower_bounds
    assert ours.upper_bounds == theirs.upper_bounds


def test_each_day_is_a_file_whose_numbers_are_described_as_by_reading_it(lake: Lake) -> None:
    numbers = ["1.5", "-2e300", "5e-324", "0.1"]
    query = " UNION ALL ".join(
        rows(READINGS, user="'u'", person="'p'", timeStamp=str(LATEST_DAY_MS - day * 86_400_000 + 5), x=x, y="7", z=x)
        for day in range(3)
        for x in numbers
    )
    files = described(lake, READINGS, query)
    assert len(files) == 3
    for ours, theirs in files:
        assert_same_description(ours, theirs)
        assert ours.lower_bounds == theirs.lower_bounds
        assert ours.upper_bounds == theirs.upper_bounds


def test_bounds_hold_for_both_zeros_and_leave_out_what_is_no_number(lake: Lake) -> None:
    query = " UNION ALL ".join(
        rows(READINGS, user="'u'", person="'p'", timeStamp="5", x=x, y="'NaN'::DOUBLE", z="1") for x in ("0.0", "0.0")
    )
    [(ours, _)] = described(lake, READINGS, query)
    x, y = (READINGS.column_names.index(name) + 1 for name in "xy")
    assert (ours.lower_bounds[x], ours.upper_bounds[x]) == (b"\0" * 7 + b"\x80", b"\0" * 8)
    assert y not in ours.lower_bounds
    assert ours.nan_value_counts[y] == 2


def test_locations_of_other_writers_lead_to_the_same_file() -> None:
    assert plain_path("file:///a/b c") == plain_path("file:/a/b c") == plain_path("/a/b c") == "/a/b c"


def test_a_text_that_is_cut_stays_a_bound(lake: Lake) -> None:
    query = " UNION ALL ".join(
        rows(CUSTOMER, customerName=text, source_position="1") for text in ("repeat('a', 30)", "repeat('b', 30)")
    )
    [(ours, _)] = described(lake, CUSTOMER, query)
    assert (ours.lower_bounds[1], ours.upper_bounds[1]) == (b"a" * 16, b"b" * 15 + b"c")


def test_of_equal_rows_in_a_rewritten_file_as_many_stay_as_did_not_go(lake: Lake) -> None:
    table = BY_NAME["consent_history"]
    stays = ["(NULL, 1, 2)", "('a', 1, 2)", "('a', 1, 2)", "('a', 1, NULL)", "('b', 5, NULL)"]
    with DuckDBBackend(scratch=lake.landing) as engine:

        def query(rows: list[str]) -> str:
            return f"FROM (VALUES {', '.join(rows)}) AS rows (person, consented_from_ms, consented_to_ms)"

        [file] = engine.write(table, query([*stays, "(NULL, 1, 2)", "('a', 1, 2)", "(NULL, 3, 4)"]), str(lake.landing))
        files = DataFiles((file.path,))
        rows = ComputedRows(query([*stays, "('c', 7, 8)"]), engine.scan_with_filename(table, files))
        with TemporaryRelations(engine, table) as relations:
            delta = diff(relations, table, rows)
            assert (delta.added_count, delta.removed_count, delta.touched_files) == (1, 3, (file.path,))
            [written] = write_delta(engine, table, delta, files, str(lake.landing))
        left = engine.sql(f"FROM '{written.path}' ORDER BY ALL NULLS FIRST")
    assert left == [(None, 1, 2), ("a", 1, None), ("a", 1, 2), ("a", 1, 2), ("b", 5, None), ("c", 7, 8)]
