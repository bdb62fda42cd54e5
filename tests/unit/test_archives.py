"""Damaged archives: all that unpacks comes out, in order, with one damage a damaged place."""

import bz2
import gzip
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi.landing.archives import Damage, Packing, is_whole, other_format, packing_of, unpack, unpack_whole_bzip2
from stedi.landing.scanner import read_records

PACK: dict[Packing, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
PACKINGS: list[Packing] = ["gzip", "bzip2", "zstd"]
RECORDS = [json.dumps({"user": f"{zlib.crc32(b'%d' % number):x}@x.org", "timeStamp": number}) for number in range(60)]
MEMBERS = ["".join(f"{record}\n" for record in RECORDS[first : first + 20]).encode() for first in (0, 20, 40)]


def unpacked(packed: bytes, packing: Packing) -> tuple[bytes, list[Damage]]:
    pieces = list(unpack(io.BytesIO(packed), packing))
    return b"".join(piece for piece in pieces if isinstance(piece, bytes)), [p for p in pieces if isinstance(p, Damage)]


def records(folder: Path, packed: bytes, packing: Packing) -> tuple[list[str], list[str]]:
    """The readable records of a file, and the text of the unreadable ones."""
    file = folder / {"gzip": "a.json.gz", "bzip2": "a.json.bz2", "zstd": "a.json.zst"}[packing]
    file.write_bytes(packed)
    found = list(read_records(file))
    return [each.text for each in found if not each.reason], [each.text for each in found if each.reason]


@pytest.mark.parametrize("packing", PACKINGS)
def test_joined_and_padded_members_are_whole(tmp_path: Path, packing: Packing) -> None:
    packed = PACK[packing](MEMBERS[0]) + bytes(1000) + PACK[packing](b"") + PACK[packing](MEMBERS[1]) + bytes(3)
    assert unpacked(packed, packing) == (MEMBERS[0] + MEMBERS[1], [])
    (tmp_path / "a").write_bytes(packed)
    assert is_whole(tmp_path / "a", packing)
    (tmp_path / "a").write_bytes(packed[:-20])
    assert not is_whole(tmp_path / "a", packing)


@pytest.mark.parametrize("damaged", [0, 1, 2])
@pytest.mark.parametrize("packing", PACKINGS)
def test_members_around_a_damaged_one_are_read(tmp_path: Path, packing: Packing, damaged: int) -> None:
    packed = [PACK[packing](member) for member in MEMBERS]
    start = sum(map(len, packed[:damaged]))
    broken = bytearray(packed[damaged])
    broken[30:60] = b"\xff" * 30
    packed[damaged] = bytes(broken)
    good, bad = records(tmp_path, b"".join(packed), packing)
    others = [record for number, record in enumerate(RECORDS) if number // 20 != damaged]
    assert [record for record in good if record in others] == others
    [text] = bad
    assert "damaged at byte" in text
    [damage] = unpacked(b"".join(packed), packing)[1]
    assert start <= damage.offset <= start + len(broken)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_wrong_checksum_loses_no_record(tmp_path: Path, packing: Packing) -> None:
    packed = [PACK[packing](member) for member in MEMBERS]
    # The checksum of bzip2's stream is at its end, gzip's is before the length.
    at = -8 if packing == "gzip" else -3
    packed[1] = packed[1][:at] + bytes([packed[1][at] ^ 0x10]) + packed[1][at + 1 :]
    good, bad = records(tmp_path, b"".join(packed), packing)
    assert good == RECORDS
    [text] = bad
    assert "all content was unpacked" in text


def test_the_missing_content_is_counted_where_the_archive_has_its_length() -> None:
    packed = [bytearray(gzip.compress(member)) for member in MEMBERS]
    packed[1][100:140] = bytes(40)
    content, [damage] = unpacked(b"".join(packed), "gzip")
    assert damage.missing == sum(map(len, MEMBERS)) - len(content)
    blocks = zstandard.ZstdCompressor().compress("".join(RECORDS).encode() * 200)
    content, [damage] = unpacked(blocks[:-10], "zstd")
    assert damage.missing == len("".join(RECORDS)) * 200 - len(content)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_record_cut_off_by_damage_is_one_row_with_it(tmp_path: Path, packing: Packing) -> None:
    # Members that end anywhere: the records at both sides of the gap are part of the damaged place.
    packed = [
        PACK[packing]("".join(f"{record}\n" for record in RECORDS).encode()[a:b])
        for a, b in ((0, 500), (500, 900), (900, 9000))
    ]
    packed[1] = packed[1][:12] + b"\xff" * (len(packed[1]) - 12)
    good, bad = records(tmp_path, b"".join(packed), packing)
    assert set(good) < set(RECORDS)
    [text] = bad
    assert text.startswith('{"user"')
    assert text.endswith("}")


def test_an_object_within_a_record_cut_off_by_damage_is_no_record(tmp_path: Path) -> None:
    nested = ", ".join(RECORDS[:3])
    lines = "".join(f'{{"user": "a", "old": [{nested}], "n": {number}}}\n' for number in range(9))
    # The third member begins within a list of a record.
    at = lines.index("}, {", lines.index('"n": 4')) - 5
    parts = lines[: len(lines) // 3], lines[len(lines) // 3 : at], lines[at:]
    packed = [gzip.compress(part.encode()) for part in parts]
    packed[1] = packed[1][:12] + b"\xff" * (len(packed[1]) - 12)
    good, [bad] = records(tmp_path, b"".join(packed), "gzip")
    assert set(good) < set(lines.splitlines())
    assert good[-1] == lines.splitlines()[-1]
    assert bad.endswith('"n": 5}')


def test_lines_of_a_record_cut_off_by_damage_are_one_row(tmp_path: Path) -> None:
    text = json.dumps([json.loads(record) for record in RECORDS], indent=2).encode()
    packed = [gzip.compress(part) for part in (text[:1000], text[1000:1500], text[1500:])]
    packed[1] = packed[1][:12] + b"\xff" * (len(packed[1]) - 12)
    good, bad = records(tmp_path, b"".join(packed), "gzip")
    assert len(bad) == 1
    assert [json.loads(record) for record in good] == [r for r in map(json.loads, RECORDS) if r in map(json.loads, good)]
    assert len(good) > 40


def test_blocks_of_one_bzip2_stream_are_read_around_a_damaged_one() -> None:
    content = "".join(f"{record} {number}\n" for number in range(400) for record in RECORDS).encode()
    packed = bytearray(bz2.compress(content, 1))
    packed[len(packed) // 2] ^= 0xFF
    found, [damage] = unpacked(bytes(packed), "bzip2")
    assert len(content) - 110_000 < len(found) < len(content)
    assert set(found.splitlines()[:-1]) - set(content.splitlines()) == set() or damage.has_gap


@settings(max_examples=60, deadline=None)
@given(packing=st.sampled_from(PACKINGS), members=st.sampled_from([1, 3]), cut=st.floats(0, 1))
def test_a_file_cut_anywhere_gives_its_first_records(packing: Packing, members: int, cut: float) -> None:
    content = b"".join(MEMBERS)
    packed = b"".join(map(PACK[packing], MEMBERS)) if members == 3 else PACK[packing](content)
    # A file cut within its header is not known as packed.
    found, damages = unpacked(packed[: max(4, int(len(packed) * cut))], packing)
    assert content.startswith(found)
    assert len(damages) == 1 or (found == content and not damages) or found in (b"", MEMBERS[0], MEMBERS[0] + MEMBERS[1])


@settings(max_examples=150, deadline=None)
@given(packing=st.sampled_from(PACKINGS), at=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_anywhere_is_damage_and_spares_other_members(packing: Packing, at: float, flip: int) -> None:
    packed = bytearray(b"".join(map(PACK[packing], MEMBERS)))
    position = int(len(packed) * at)
    packed[position] ^= flip
    found, damages = unpacked(bytes(packed), packing)
    content = b"".join(MEMBERS)
    assert damages or found == content
    assert len(damages) <= 1
    lengths = [len(PACK[packing](member)) for member in MEMBERS]
    damaged = 0 if position < lengths[0] else 1 if position < lengths[0] + lengths[1] else 2
    before, behind = b"".join(MEMBERS[:damaged]), b"".join(MEMBERS[damaged + 1 :])
    assert found.startswith(before)
    assert found.endswith(behind)


@settings(max_examples=100, deadline=None)
@given(packing=st.sampled_from(PACKINGS), content=st.binary(max_size=300), begin=st.booleans())
def test_any_bytes_end(packing: Packing, content: bytes, begin: bool) -> None:
    unpacked((PACK[packing](MEMBERS[0])[:20] if begin else b"") + content, packing)


def test_a_format_is_told_by_content() -> None:
    assert packing_of(gzip.compress(b""), "a.json") == "gzip"
    assert packing_of(bz2.compress(b""), "a") == packing_of(bz2.compress(b"x"), "a.gz") == "bzip2"
    assert packing_of(PACK["zstd"](b"x"), "a.json.gz") == "zstd"
    assert packing_of(b'{"user": 1}', "a.json.gz") is None
    assert packing_of(b"BZhonest\n", "a.json") is None
    assert packing_of(b"\0" + gzip.compress(b"x")[1:], "a.json.gz") == "gzip"
    assert [other_format(head) for head in (b"PAR1", b"Obj\x01", b"PK\x03\x04", b"\x04\x22\x4d\x18", b"{}")] == [
        *("Parquet", "Avro", "zip", "lz4"),
        None,
    ]


def test_a_whole_bzip2_file_is_unpacked_to_another(tmp_path: Path) -> None:
    content = b"".join(MEMBERS) * 1000
    (tmp_path / "a").write_bytes(bz2.compress(content) + bytes(10) + bz2.compress(MEMBERS[0]))
    assert unpack_whole_bzip2(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == content + MEMBERS[0]
    (tmp_path / "a").write_bytes(bz2.compress(content) + b"more")
    assert not unpack_whole_bzip2(tmp_path / "a", tmp_path / "b")
