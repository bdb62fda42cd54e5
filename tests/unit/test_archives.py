"""Damaged archives: all that unpacks comes out, in order, with one damage a damaged place."""

import bz2
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi.ingest.archives import Damage, Packing, is_whole, other_format, packing_of, unpack, unpack_whole_bzip2
from stedi.ingest.scanner import read_records

PACK: dict[Packing, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
PACKINGS: list[Packing] = ["gzip", "bzip2", "zstd"]
NAMES: dict[Packing, str] = {"gzip": "a.json.gz", "bzip2": "a.json.bz2", "zstd": "a.json.zst"}
RECORDS = [json.dumps({"user": f"{zlib.crc32(b'%d' % number):x}@x.org", "timeStamp": number}) for number in range(60)]
MEMBERS = ["".join(f"{record}\n" for record in RECORDS[first : first + 20]).encode() for first in (0, 20, 40)]


def unpacked(packed: bytes, packing: Packing) -> tuple[bytes, list[Damage]]:
    pieces = list(unpack(io.BytesIO(packed), packing))
    return b"".join(piece for piece in pieces if isinstance(piece, bytes)), [p for p in pieces if isinstance(p, Damage)]


def records(folder: Path, packed: bytes, packing: Packing) -> tuple[list[str], list[str]]:
    """The readable records of a file, and the text of the unreadable ones."""
    file = folder / NAMES[packing]
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


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_no_record_behind_an_unreadable_one_of_a_failed_member_is_trusted(tmp_path: Path, packing: Packing) -> None:
    first, second, third = (member.decode().splitlines() for member in MEMBERS)
    altered = [*second[:5], '{"user": "a@x.org", "ti~~', '{"user": "of@nobody.org", "timeStamp": 3}', *second[7:]]
    # The last record goes on in the next member, and its end is no record of that.
    members = ["\n".join([*first, ""]), "\n".join([*altered[:-1], altered[-1][:20]]), "\n".join([altered[-1][20:], *third])]
    packed = [PACK[packing](member.encode()) for member in members]
    packed[1] = _with_wrong_checksum(packed[1], packing)
    good, [bad] = records(tmp_path, b"".join(packed), packing)
    assert good == [*first, *second[:5], *third]
    assert bad.startswith("\n".join(altered[5:7]))
    assert "wrong checksum" in bad
    assert bad.endswith(altered[-1][20:])
    # The same content with the right checksum is bad in one record only.
    good, [bad] = records(tmp_path, b"".join(map(PACK[packing], (member.encode() for member in members))), packing)
    assert good == [*first, *altered[:5], *altered[6:], *third]
    assert bad == altered[5]


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_records_in_front_of_a_failed_member_are_trusted(tmp_path: Path, packing: Packing) -> None:
    first = MEMBERS[0].decode().splitlines()
    broken = "\n".join([*first[:3], '{"user": ', *first[3:], ""]).encode()
    packed = PACK[packing](broken) + _with_wrong_checksum(PACK[packing](MEMBERS[1]), packing)
    good, bad = records(tmp_path, packed, packing)
    assert good == RECORDS[:40]
    assert bad[0] == '{"user":'
    assert len(bad) == 2


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_an_invalid_record_of_a_failed_member_is_where_trust_ends(tmp_path: Path, packing: Packing) -> None:
    lines = RECORDS[0], '{"user": "a@x.org"}', RECORDS[1]
    packed = _with_wrong_checksum(PACK[packing]("\n".join(lines).encode()), packing)
    (tmp_path / "a").write_bytes(packed)
    good, bad = read_records(tmp_path / "a", is_valid=lambda pairs: len(pairs) == 2)
    assert (good.text, good.reason) == (RECORDS[0], None)
    assert bad.text.splitlines()[:2] == [*lines[1:]]
    assert bad.reason == f"broken_{packing}"


def test_the_text_of_a_damaged_place_is_bounded(tmp_path: Path) -> None:
    lines = [RECORDS[0], *(f"~~{number}~~" for number in range(150_000))]
    packed = _with_wrong_checksum(gzip.compress("\n".join(lines).encode(), 1), "gzip")
    good, [bad] = records(tmp_path, packed, "gzip")
    assert good == RECORDS[:1]
    cut = sum(len(line) + 1 for line in lines[1:]) - (1 << 20)
    assert cut > 0
    assert f"… {cut:,} more characters [gzip damaged" in bad
    assert len(bad) < (1 << 20) + 200


def _with_wrong_checksum(packed: bytes, packing: Packing) -> bytes:
    at = len(packed) - (8 if packing == "gzip" else 4)
    return packed[:at] + bytes([packed[at] ^ 0x10]) + packed[at + 1 :]


def _is_reading(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("timeStamp"), int)


def _readings_before_the_first_unreadable(text: str) -> Iterator[str]:
    decoder, between, at = json.JSONDecoder(), re.compile(r"[\s,\[\]]*"), 0
    while (at := between.match(text, at).end()) < len(text):  # type: ignore[union-attr]  # matches anything
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError:
            return
        if not _is_reading(value):
            return
        yield text[at:end]
        at = end


@settings(max_examples=200, deadline=None)
@given(
    packing=st.sampled_from(PACKINGS),
    members=st.sampled_from([1, 3]),
    at=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
)
def test_a_changed_byte_is_one_row_and_what_lands_is_trusted(
    tmp_path_factory: pytest.TempPathFactory, packing: Packing, members: int, at: float, flip: int
) -> None:
    contents = MEMBERS if members == 3 else [b"".join(MEMBERS)]
    packed = bytearray(b"".join(map(PACK[packing], contents)))
    # A file whose first bytes are changed need not be known as packed.
    position = 4 + int((len(packed) - 4) * at)
    packed[position] ^= flip
    file = tmp_path_factory.getbasetemp() / NAMES[packing]
    file.write_bytes(packed)
    found = list(read_records(file, is_valid=lambda pairs: _is_reading(dict(pairs))))
    good, bad = [each.text for each in found if not each.reason], [each for each in found if each.reason]
    assert [each.reason for each in bad] in ([], [f"broken_{packing}"])
    if not bad:
        # Such as the time in a header.
        assert good == RECORDS
    ends = [sum(len(PACK[packing](content)) for content in contents[: number + 1]) for number in range(len(contents))]
    damaged = next(number for number, end in enumerate(ends) if position < end)
    before, behind = b"".join(contents[:damaged]), b"".join(contents[damaged + 1 :])
    content = (
        unpacked(bytes(packed), packing)[0].removeprefix(before).removesuffix(behind).decode("utf-8", "surrogateescape")
    )
    trusted = list(_readings_before_the_first_unreadable(content))
    # gzip and zstd check a member as a whole: a changed value in front of the first unreadable record lands.
    assert good == [*before.decode().splitlines(), *trusted, *behind.decode().splitlines()]
    # bzip2 checks each block before any of it comes out.
    assert packing != "bzip2" or set(trusted) <= set(RECORDS)


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
