"""What is lost or damaged in a warehouse is said in a line, with a way out, and nothing is made worse."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from stedi.errors import WarehouseError
from stedi.maintenance.maintain import maintain
from stedi.query.sandbox import query
from stedi.verify.verify import verify
from tests.support.compare import Kept, found_wrong
from tests.support.lake import Lake, customer, distance, reading


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(furnish(Lake(tmp_path_factory.mktemp("whole"))))


def furnish(lake: Lake) -> Lake:
    lake.land("customer/1.json", [customer("a@x", 5, shares=5)])
    lake.land("accelerometer/1.json", [reading("a@x", number) for number in range(6, 20)])
    lake.land("step_trainer/1.json", [distance("s1", number) for number in range(6, 20)])
    lake.run()
    return lake


@pytest.fixture
def lake(kept: Kept) -> Iterator[Lake]:
    yield kept.lake
    kept.put_back()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


DAMAGES = [cut, empty, Path.unlink]
SEEN_BY = {
    "metadata/*.metadata.json": ["run", "query", "verify"],
    "metadata/snap-*.avro": ["query", "verify"],
    "metadata/ledger-*": ["run", "plan", "verify"],
    "data/**/*.parquet": ["query", "verify"],
}


def attempt(lake: Lake, work: str) -> None:
    if work == "run":
        lake.run()
    elif work == "plan":
        lake.run(dry_run=True)
    elif work == "query":
        query(lake.settings, "SELECT count(*) FROM accelerometer_landing").rows()
    else:
        verify(lake.settings)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("pattern", SEEN_BY)
def test_a_damaged_file_is_named_and_nothing_is_changed(lake: Lake, pattern: str, damage: Callable[[Path], None]) -> None:
    table = lake.warehouse / "stedi/accelerometer_landing"
    file = max(table.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
    whole = file.read_bytes()
    damage(file)
    for work in SEEN_BY[pattern]:
        with pytest.raises(WarehouseError):
            attempt(lake, work)
    file.write_bytes(whole)
    assert not found_wrong(lake)
    assert {table.status for table in lake.run().tables.values()} == {"up to date"}


@pytest.mark.parametrize("damage", [empty, Path.unlink])
def test_a_warehouse_that_lost_its_catalog_is_not_taken_for_a_new_one(
    new_lake: Callable[[str], Lake], damage: Callable[[Path], None]
) -> None:
    lake = furnish(new_lake("lost"))
    catalog = lake.warehouse / "catalog.db"
    whole = catalog.read_bytes()
    (lake.landing / "accelerometer/1.json").unlink()
    damage(catalog)
    for work in (lake.run, lambda: maintain(lake.settings), lambda: lake.rows("SELECT 1")):
        with pytest.raises(WarehouseError, match=r"has lost its catalog: .* restore it"):
            work()
    catalog.write_bytes(whole)
    assert lake.rows("SELECT count(*) FROM accelerometer_landing") == [(14,)]


@pytest.mark.parametrize("content", [b"", b" \n"])
def test_an_empty_key_is_none(lake: Lake, content: bytes) -> None:
    lake.settings = lake.settings.model_copy(update={"pseudonym_key": None})
    (lake.warehouse / "pseudonym.key").write_bytes(content)
    for work in (lake.run, lambda: lake.run(dry_run=True), lambda: verify(lake.settings)):
        with pytest.raises(WarehouseError, match=r"pseudonym\.key is empty; set it to the secret"):
            work()
    lake.settings = lake.settings.model_copy(update={"pseudonym_key": SecretStr(" ")})
    with pytest.raises(WarehouseError, match="the configured pseudonym key is empty"):
        lake.run()


def test_the_kept_key_serves_from_elsewhere_and_is_missed(lake: Lake) -> None:
    pseudonyms = "SELECT customer_pseudonym FROM customers_curated"
    lake.settings = lake.settings.model_copy(update={"pseudonym_key": None})
    with pytest.raises(WarehouseError, match=r"has lost its pseudonym.key"):
        lake.run()
    folder = lake.warehouse.parent / "new"
    folder.mkdir()
    new = Lake(folder)
    new.settings = new.settings.model_copy(update={"landing": lake.settings.landing, "pseudonym_key": None})
    new.run()
    before = new.rows(pseudonyms)
    key = new.warehouse / "pseudonym.key"
    secret = key.read_text()
    key.unlink()
    for work in (new.run, lambda: verify(new.settings)):
        with pytest.raises(WarehouseError, match=r"has lost its pseudonym.key"):
            work()
    new.settings = type(new.settings).model_validate(new.settings.model_dump() | {"pseudonym_key": secret})
    assert {table.status for table in new.run().tables.values()} == {"up to date"}
    assert new.rows(pseudonyms) == before
