"""Erasures in S3 that die, or that lose their lease, go on when they are called again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient

from stedi.errors import WarehouseBusyError, WarehouseError
from stedi.privacy.erasure.erase import erase
from stedi.storage.s3_lock import Lease
from tests.support.byte_search import files_containing
from tests.support.compare import Died, found_wrong
from tests.support.erasures_s3 import ANN, BOB, VersionedLake, download_all_versions, keep_versions
from tests.support.s3 import BUCKET, PLACE, REGION, aws, new_store, server

__all__ = ["aws", "server"]

READS = ("Get", "Head", "List")
LOCK = f"{PLACE.partition(BUCKET)[2].lstrip('/')}/.lock"


@pytest.fixture
def new_lake(server: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], VersionedLake]:
    """Make a lake after one run, in an empty bucket that keeps versions."""

    def make() -> VersionedLake:
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        store = new_store(server, monkeypatch)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        keep_versions(store)
        lake = VersionedLake(tmp_path, store)
        lake.land_all()
        lake.run()
        return lake

    return make


@contextmanager
def dying_at(number: int) -> Iterator[list[str]]:
    """Let the request that is the number-th to change something fail, and all later ones. Yield the requests so far."""
    send, changes = BaseClient._make_api_call, list[str]()

    def count_and_send(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if not operation.startswith(READS) and parameters.get("Key") != LOCK:
            changes.append(operation)
            if len(changes) >= number:
                raise Died
        return send(client, operation, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", count_and_send)
        yield changes


def assert_erased(lake: VersionedLake, folder: Path) -> None:
    everything = download_all_versions(lake.store, folder)
    assert files_containing([ANN, "a-serial"], everything) == []
    assert files_containing([BOB], everything) != []
    assert lake.rows("SELECT count(*) FROM accelerometer_landing") == [(4,)]
    assert found_wrong(lake) == []
    assert {table.status for table in lake.run().tables.values()} == {"up to date"}


def test_an_erasure_that_dies_at_any_request_goes_on(new_lake: Callable[[], VersionedLake], tmp_path: Path) -> None:
    with dying_at(1_000_000) as changes:
        lake = new_lake()
        before = len(changes)
        erase(lake.settings, [ANN])
    count = len(changes) - before
    assert_erased(lake, tmp_path / "undisturbed")
    for tenth in (1, 4, 6, 8, 9):
        lake = new_lake()
        with pytest.raises(Died), dying_at(1 + count * tenth // 10):
            erase(lake.settings, [ANN])
        # Nobody may read or write meanwhile.
        if tenth > 1:
            with pytest.raises(WarehouseError, match="from before an erasure"):
                lake.run()
        assert erase(lake.settings, [ANN]).found == ()
        assert_erased(lake, tmp_path / str(tenth))


@pytest.mark.parametrize("number", [2, 12, 40])
def test_an_erasure_that_loses_its_lease_says_so_and_goes_on(
    new_lake: Callable[[], VersionedLake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    lake, calls = new_lake(), list[int]()
    confirm = Lease.confirm

    def confirm_or_lose(lease: Lease) -> None:
        calls.append(1)
        if len(calls) == number:
            # Another run takes the lease over.
            lease._renewed_at = 0.0
            lake.store.put(LOCK, b'{"seconds": 0}')
        confirm(lease)

    with monkeypatch.context() as patch:
        patch.setattr(Lease, "confirm", confirm_or_lose)
        with pytest.raises(WarehouseBusyError, match=r"another run took over .* while this one was suspended"):
            erase(lake.settings, [ANN])
    lake.store.delete(LOCK)
    assert erase(lake.settings, [ANN]).found == ()
    assert_erased(lake, tmp_path / "versions")
