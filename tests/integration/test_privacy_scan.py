"""The scan opens every kind of container, and says what it could not open."""

import bz2
import gzip
import json
import lzma
import os
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from stedi.model.progress import Progress
from stedi.privacy.identifiers import person_identifiers
from stedi.privacy.inventory import Inventory, merkle_root, name_digest
from stedi.privacy.scan import roots as roots_module
from stedi.privacy.scan.containers import MAX_DEPTH
from stedi.privacy.scan.roots import Root, ScanResult, scan, take_inventory
from stedi.storage import WarehouseFolder, open_warehouse
from tests.support.lake import Lake, customer, reading
from tests.support.packed_files import (
    ADDRESS,
    COLUMNS,
    NUMBERS,
    OTHER,
    PACKED,
    avro,
    column,
    deflate,
    lz4,
    parquet,
    png,
    puffin,
    split,
    sqlite,
    zipped,
)

ANN = person_identifiers(
    "ann", addresses=[ADDRESS.decode()], names=["Ann Lee"], birthdays=["1980-02-29"], shared=["Ann Lee"]
)
KEY = b"k" * 32


def scan_folder(folder: Path, left_out: frozenset[str] = frozenset()) -> tuple[Inventory, ScanResult]:
    return scan([Root("lake", WarehouseFolder(folder), left_out)], ANN, KEY, lambda _: None)


def hits(folder: Path) -> dict[str, int]:
    """Addresses by file; fails if anything could not be opened."""
    _, result = scan_folder(folder)
    assert not result.doubts
    assert {hit.kind for hit in result.hits} <= {"address"}
    return {hit.file.removeprefix("lake/"): hit.count for hit in result.hits}


def doubts(folder: Path) -> dict[str, str]:
    _, result = scan_folder(folder)
    return {doubt.file.removeprefix("lake/"): doubt.reason for doubt in result.doubts}


@pytest.mark.parametrize("packing", PACKED)
def test_every_container_is_opened(tmp_path: Path, packing: str) -> None:
    """Ann is found, and Joann, whose address contains Ann's, is not."""
    for name, content in (("found", ADDRESS), ("clean", OTHER)):
        (tmp_path / name).write_bytes(PACKED[packing](content))
    assert set(hits(tmp_path)) == {"found"}


@pytest.mark.parametrize("place", COLUMNS)
def test_every_place_in_parquet_is_searched(tmp_path: Path, place: str) -> None:
    for name, content in (("found.parquet", ADDRESS), ("clean.parquet", OTHER)):
        (tmp_path / name).write_bytes(COLUMNS[place](content))
    assert set(hits(tmp_path)) == {"found.parquet"}


def test_name_and_birthday_are_combined_across_columns_of_a_row(tmp_path: Path) -> None:
    names, birthdays = ["Ann Lee", "Ann Lee", "Bob"], ["1980-02-29", "1970-01-01", "1980-02-29"]
    pq.write_table(pa.table({"n": names, "b": birthdays}), tmp_path / "one.parquet")
    pq.write_table(pa.table({"n": names[1:], "b": birthdays[1:]}), tmp_path / "two.parquet")
    _, result = scan_folder(tmp_path)
    assert [(hit.file, hit.kind, hit.count) for hit in result.hits] == [
        ("lake/one.parquet", "birthday", 1),
        ("lake/one.parquet", "name", 1),
    ]


def test_freed_pages_of_a_database_are_searched(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA secure_delete = off")
        database.execute("CREATE TABLE t (a)")
        database.execute("INSERT INTO t VALUES ('Lee' || ? || '555')", (ADDRESS.decode(),))
        database.executemany("INSERT INTO t VALUES (?)", [("x" * 3_000,)] * 10)
        database.commit()
        database.execute("DROP TABLE t")
        database.commit()
    _, result = scan_folder(tmp_path)
    assert [(hit.file, hit.kind) for hit in result.hits] == [("lake/catalog.db", "address")]
    assert "freed pages" in result.doubts[0].reason
    with closing(sqlite3.connect(path)) as database:
        database.execute("VACUUM")
    assert hits(tmp_path) == {}


def test_the_write_ahead_log_of_a_database_is_searched(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.execute("CREATE TABLE t (a)")
        # Not yet in the file of the database.
        database.execute("INSERT INTO t VALUES (?)", (ADDRESS.decode(),))
        database.commit()
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        assert "mlflow.db" in hits(tmp_path)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(byte ^ 0xFF for byte in content[middle : middle + 40]) + content[middle + 40 :]


NOISE = np.random.default_rng(1).bytes(100_000)
LONG = NOISE[:2_000].hex().encode()
SEALED: dict[str, bytes] = {
    "a.gz": damaged(gzip.compress(LONG)),
    "cut.gz": gzip.compress(LONG)[:-20],
    "header.gz": b"\0\0\0" + gzip.compress(LONG)[3:],
    "a.bz2": damaged(bz2.compress(LONG)),
    "a.xz": damaged(lzma.compress(LONG)),
    "a.zst": zstandard.compress(LONG)[:-20],
    "a.lz4": lz4(LONG)[:-200],
    "a.zlib": damaged(zlib.compress(LONG)),
    "a.zip": damaged(zipped(LONG)),
    "a.avro": avro(LONG, b"deflate", deflate)[:-30],
    "unknown.avro": avro(LONG, b"lzo", bytes),
    "a.puffin": puffin(LONG)[:-8],
    "a.parquet": damaged(
        parquet(column(pa.array([LONG.decode()])), compression="gzip", use_dictionary=False, write_statistics=False)
    ),
    "cut.parquet": parquet(column(NUMBERS))[:-30],
    "a.db": sqlite(b"x")[:9_000],
    "a.png": png(b"zTXt", b"Title\0\0" + zlib.compress(LONG)[:-20]),
    "a.7z": b"7z\xbc\xaf\x27\x1c" + LONG,
    "a.pdf": b"%PDF-1.7\n" + LONG,
    "secret.bin": NOISE,
}


@pytest.mark.parametrize("name", SEALED)
def test_what_cannot_be_opened_is_a_doubt(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SEALED[name])
    assert list(doubts(tmp_path)) == [name]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstandard.compress])
def test_what_a_run_reads_after_damage_is_searched(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "a.json").write_bytes(pack(b"{}\n") + b"damage " * 10 + pack(split(ADDRESS)))
    _, result = scan_folder(tmp_path)
    assert [hit.kind for hit in result.hits] == ["address"]
    assert len(result.doubts) == 1


def test_what_is_before_damage_is_searched(tmp_path: Path) -> None:
    (tmp_path / "a.xz").write_bytes(lzma.compress(split(ADDRESS) + LONG)[:-40])
    _, result = scan_folder(tmp_path)
    assert [hit.kind for hit in result.hits] == ["address"]
    assert len(result.doubts) == 1


def test_an_encrypted_member_of_a_zip_is_a_doubt(tmp_path: Path) -> None:
    content = bytearray(zipped(b"a"))
    # Bit 0 of the flags, in the member's header and in the directory (APPNOTE, 4.4.4).
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(bytes(content))
    assert list(doubts(tmp_path)) == ["a.zip"]


def test_too_many_containers_in_one_another_are_a_doubt(tmp_path: Path) -> None:
    content = ADDRESS
    for _ in range(MAX_DEPTH):
        content = gzip.compress(content)
    (tmp_path / "a.gz").write_bytes(content)
    assert set(hits(tmp_path)) == {"a.gz"}
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    assert "containers in one another" in doubts(tmp_path)["a.gz"]


def test_weights_text_and_small_keys_are_no_doubts(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).normal(size=100_000).astype("<f4")
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07" + weights.tobytes())
    (tmp_path / "suppression.key").write_bytes(NOISE[:32])
    (tmp_path / "text.json").write_bytes(b"x\x9c is no zlib")
    assert doubts(tmp_path) == {}


def test_links_and_unreadable_files_are_doubts(tmp_path: Path) -> None:
    lake, other = tmp_path / "lake", tmp_path / "other"
    lake.mkdir()
    other.mkdir()
    (lake / "link").symlink_to(other)
    (lake / "broken").symlink_to(tmp_path / "nowhere")
    os.mkfifo(lake / "pipe")
    assert set(doubts(lake)) == {"link", "broken", "pipe"}


def test_names_of_files_and_folders_are_searched_and_replaced(tmp_path: Path) -> None:
    folder, file = "Ann@Example.com", "ann@example.com.json.gz"
    (tmp_path / folder).mkdir()
    for name in (f"{folder}/one.txt", file, "joann@example.com.json", "a%40example.com", "#b", "c"):
        (tmp_path / name).write_bytes(b"x")
    inventory, result = scan_folder(tmp_path)
    names = [entry.name for entry in inventory.files]
    found = sorted((f"lake/{name_digest(folder, KEY)}/one.txt", f"lake/{name_digest(file, KEY)}"))
    assert [hit.file for hit in result.hits] == found
    assert names == sorted(names)
    assert not [name for name in names if "@" in name or "example" in name]
    assert {"lake/c", "lake/%23b", *found} < set(names)


def test_the_inventory_has_size_and_digest_of_every_file_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b.json").write_bytes(ADDRESS)
    steps: list[Progress] = []
    root = Root("lake", WarehouseFolder(tmp_path), frozenset({"b.json"}))
    inventory, doubts = take_inventory([root], ANN, KEY, steps.append)
    assert [(entry.name, entry.bytes) for entry in inventory.files] == [("lake/a", 3)]
    assert inventory.files[0].sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert not doubts
    assert [(step.done, step.total) for step in steps] == [(1, 1)]
    assert scan([root], ANN, KEY, lambda _: None)[0] == inventory
    assert take_inventory([Root("none", WarehouseFolder(tmp_path / "missing"))], ANN, KEY, steps.append)[0].files == ()


def test_processes_find_what_one_process_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number_of_file in range(5):
        (tmp_path / f"{number_of_file}.gz").write_bytes(gzip.compress(ADDRESS * number_of_file))
    inventory, result = scan_folder(tmp_path)
    monkeypatch.setattr(roots_module, "_MIN_BYTES_FOR_PROCESSES", 0)
    again, same = scan_folder(tmp_path)
    assert again == inventory
    assert (same.hits, same.bytes_unpacked) == (result.hits, result.bytes_unpacked)


def test_a_person_is_found_everywhere_in_a_lakehouse_and_a_part_of_their_address_nowhere(lake: Lake) -> None:
    address, serial = "annabella.lee@example.com", "13ae47b4-0456fcdf"
    record = customer(address, 10, shares=10, serial=serial, extra=address)
    lake.land("customer/1.json", [record, customer("b@x", 10, shares=10)])
    lake.land("customer/2.json.gz", gzip.compress(json.dumps({**record, "lastUpdateDate": "broken"}).encode()))
    lake.land("accelerometer/1.json", [reading(address, time) for time in range(100, 110)])
    lake.run()
    roots = [Root("warehouse", open_warehouse(lake.settings.warehouse)), Root("landing", WarehouseFolder(lake.landing))]
    ann = person_identifiers("ann", addresses=[address], serials=[serial])
    _, result = scan(roots, ann, KEY, lambda _: None)
    assert not result.doubts
    found = {(Path(hit.file).suffix, hit.kind) for hit in result.hits}
    assert found >= {(ending, kind) for ending in (".json", ".gz", ".parquet", ".avro") for kind in ("address", "serial")}
    lee = person_identifiers("lee", addresses=["lee@example.com"], serials=["456fcdf", "7b4-0456fcdf"])
    assert scan(roots, lee, KEY, lambda _: None)[1].hits == ()


def test_merkle_root_is_that_of_rfc_6962() -> None:
    # Roots of the test vectors of Certificate Transparency's reference implementation, for its first leaves.
    texts = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    leaves = [bytes.fromhex(text) for text in texts]
    roots = {
        0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    assert {count: merkle_root(leaves[:count]) for count in roots} == roots
