"""Damaged compressed files: all intact content is read, in order, with one `Damage` per damaged place."""

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

from stedi.ingest.compression import decompress_bzip2, detect_compression, detect_other_format, is_undamaged, recover
from stedi.ingest.damage import Compression, Damage
from stedi.ingest.scanner import scan_records

PACK: dict[Compression, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
COMPRESSIONS: list[Compression] = ["gzip", "bzip2", "zstd"]
NAMES: dict[Compression, str] = {"gzip": "a.json.gz", "bzip2": "a.json.bz2", "zstd": "a.json.zst"}
RECORDS = [json.dumps({"user": f"{zlib.crc32(b'%d' % number):x}@x.org", "timeStamp": number}) for number in range(60)]
MEMBERS = ["".join(f"{record}\n" for record in RECORDS[first : first + 20]).encode() for first in (0, 20, 40)]


def unpacked(packed: bytes, compression: Compression) -> tuple[bytes, list[Damage]]:
    pieces = list(recover(io.BytesIO(packed), compression))
    return b"".join(piece for piece in pieces if isinstance(piece, bytes)), [p for p in pieces if isinstance(p, Damage)]


def records(folder: Path, packed: bytes, compression: Compression) -> tuple[list[str], list[str]]:
    """The readable records of a file, and the text of the unreadable ones."""
    file = folder / NAMES[compression]
    file.write_bytes(packed)
    found = list(scan_records(file))
    return [each.text for each in found if not each.reason], [each.text for each in found if each.reason]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_concatenated_and_padded_members_are_undamaged(tmp_path: Path, compression: Compression) -> None:
    packed = PACK[compression](MEMBERS[0]) + bytes(1000) + PACK[compression](b"") + PACK[compression](MEMBERS[1]) + bytes(3)
    assert unpacked(packed, compression) == (MEMBERS[0] + MEMBERS[1], [])
    (tmp_path / "a").write_bytes(packed)
    assert is_undamaged(tmp_path / "a", compression)
    (tmp_path / "a").write_bytes(packed[:-20])
    assert not is_undamaged(tmp_path / "a", compression)


@pytest.mark.parametrize("damaged", [0, 1, 2])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_members_around_a_damaged_one_are_read(tmp_path: Path, compression: Compression, damaged: int) -> None:
    packed = [PACK[compression](member) for member in MEMBERS]
    start = sum(map(len, packed[:damaged]))
    broken = bytearray(packed[damaged])
    broken[30:60] = b"\xff" * 30
    packed[damaged] = bytes(broken)
    good, bad = records(tmp_path, b"".join(packed), compression)
    others = [record for number, record in enumerate(RECORDS) if number // 20 != damaged]
    assert [record for record in good if record in others] == others
    [text] = bad
    assert "damaged at byte" in text
    [damage] = unpacked(b"".join(packed), compression)[1]
    assert start <= damage.offset <= start + len(broken)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_wrong_checksum_loses_no_record(tmp_path: Path, compression: Compression) -> None:
    packed = [PACK[compression](member) for member in MEMBERS]
    # The checksum of bzip2's stream is at its end, gzip's is before the length.
    at = -8 if compression == "gzip" else -3
    packed[1] = packed[1][:at] + bytes([packed[1][at] ^ 0x10]) + packed[1][at + 1 :]
    good, bad = records(tmp_path, b"".join(packed), compression)
    assert good == RECORDS
    [text] = bad
    assert "all content was unpacked" in text


def test_the_missing_content_is_counted_if_the_file_contains_its_length() -> None:
    packed = [bytearray(gzip.compress(member)) for member in MEMBERS]
    packed[1][100:140] = bytes(40)
    content, [damage] = unpacked(b"".join(packed), "gzip")
    assert damage.missing == sum(map(len, MEMBERS)) - len(content)
    blocks = zstandard.ZstdCompressor().compress("".join(RECORDS).encode() * 200)
    content, [damage] = unpacked(blocks[:-10], "zstd")
    assert damage.missing == len("".join(RECORDS)) * 200 - len(content)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_record_cut_off_by_damage_is_one_row_with_it(tmp_path: Path, compression: Compression) -> None:
    # Members that end anywhere: the records at both sides of the gap are part of the damaged place.
    packed = [
        PACK[compression]("".join(f"{record}\n" for record in RECORDS).encode()[a:b])
        for a, b in ((0, 500), (500, 900), (900, 9000))
    ]
    packed[1] = packed[1][:12] + b"\xff" * (len(packed[1]) - 12)
    good, bad = records(tmp_path, b"".join(packed), compression)
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
@given(compression=st.sampled_from(COMPRESSIONS), members=st.sampled_from([1, 3]), cut=st.floats(0, 1))
def test_a_file_cut_anywhere_gives_its_first_records(compression: Compression, members: int, cut: float) -> None:
    content = b"".join(MEMBERS)
    packed = b"".join(map(PACK[compression], MEMBERS)) if members == 3 else PACK[compression](content)
    # A file cut within its header is not known as packed.
    found, damages = unpacked(packed[: max(4, int(len(packed) * cut))], compression)
    assert content.startswith(found)
    assert len(damages) == 1 or (found == content and not damages) or found in (b"", MEMBERS[0], MEMBERS[0] + MEMBERS[1])


@settings(max_examples=150, deadline=None)
@given(compression=st.sampled_from(COMPRESSIONS), at=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_anywhere_is_damage_and_spares_other_members(compression: Compression, at: float, flip: int) -> None:
    packed = bytearray(b"".join(map(PACK[compression], MEMBERS)))
    position = int(len(packed) * at)
    packed[position] ^= flip
    found, damages = unpacked(bytes(packed), compression)
    content = b"".join(MEMBERS)
    assert damages or found == content
    assert len(damages) <= 1
    lengths = [len(PACK[compression](member)) for member in MEMBERS]
    damaged = 0 if position < lengths[0] else 1 if position < lengths[0] + lengths[1] else 2
    before, behind = b"".join(MEMBERS[:damaged]), b"".join(MEMBERS[damaged + 1 :])
    assert found.startswith(before)
    assert found.endswith(behind)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_no_record_behind_an_unreadable_one_of_a_failed_member_is_trusted(tmp_path: Path, compression: Compression) -> None:
    first, second, third = (member.decode().splitlines() for member in MEMBERS)
    altered = [*second[:5], '{"user": "a@x.org", "ti~~', '{"user": "of@nobody.org", "timeStamp": 3}', *second[7:]]
    # The last record goes on in the next member, and its end is no record of that.
    members = ["\n".join([*first, ""]), "\n".join([*altered[:-1], altered[-1][:20]]), "\n".join([altered[-1][20:], *third])]
    packed = [PACK[compression](member.encode()) for member in members]
    packed[1] = _with_wrong_checksum(packed[1], compression)
    good, [bad] = records(tmp_path, b"".join(packed), compression)
    assert good == [*first, *second[:5], *third]
    assert bad.startswith("\n".join(altered[5:7]))
    assert "wrong checksum" in bad
    assert bad.endswith(altered[-1][20:])
    # The same content with the right checksum is bad in one record only.
    good, [bad] = records(tmp_path, b"".join(map(PACK[compression], (member.encode() for member in members))), compression)
    assert good == [*first, *altered[:5], *altered[6:], *third]
    assert bad == altered[5]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_records_in_front_of_a_failed_member_are_trusted(tmp_path: Path, compression: Compression) -> None:
    first = MEMBERS[0].decode().splitlines()
    broken = "\n".join([*first[:3], '{"user": ', *first[3:], ""]).encode()
    packed = PACK[compression](broken) + _with_wrong_checksum(PACK[compression](MEMBERS[1]), compression)
    good, bad = records(tmp_path, packed, compression)
    assert good == RECORDS[:40]
    assert bad[0] == '{"user":'
    assert len(bad) == 2


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_no_record_from_an_invalid_one_of_a_failed_member_on_is_trusted(tmp_path: Path, compression: Compression) -> None:
    lines = RECORDS[0], '{"user": "a@x.org"}', RECORDS[1]
    packed = _with_wrong_checksum(PACK[compression]("\n".join(lines).encode()), compression)
    (tmp_path / "a").write_bytes(packed)
    good, bad = scan_records(tmp_path / "a", is_valid=lambda pairs: len(pairs) == 2)
    assert (good.text, good.reason) == (RECORDS[0], None)
    assert bad.text.splitlines()[:2] == [*lines[1:]]
    assert bad.reason == f"broken_{compression}"


def test_the_text_of_a_damaged_place_has_a_maximum_length(tmp_path: Path) -> None:
    lines = [RECORDS[0], *(f"~~{number}~~" for number in range(150_000))]
    packed = _with_wrong_checksum(gzip.compress("\n".join(lines).encode(), 1), "gzip")
    good, [bad] = records(tmp_path, packed, "gzip")
    assert good == RECORDS[:1]
    cut = sum(len(line) + 1 for line in lines[1:]) - (1 << 20)
    assert cut > 0
    assert f"… {cut:,} more characters [gzip damaged" in bad
    assert len(bad) < (1 << 20) + 200


def _with_wrong_checksum(packed: bytes, compression: Compression) -> bytes:
    at = len(packed) - (8 if compression == "gzip" else 4)
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
    compression=st.sampled_from(COMPRESSIONS),
    members=st.sampled_from([1, 3]),
    at=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
)
def test_a_changed_byte_is_one_row_and_what_lands_is_trusted(
    tmp_path_factory: pytest.TempPathFactory, compression: Compression, members: int, at: float, flip: int
) -> None:
    contents = MEMBERS if members == 3 else [b"".join(MEMBERS)]
    packed = bytearray(b"".join(map(PACK[compression], contents)))
    # A file whose first bytes are changed need not be known as packed.
    position = 4 + int((len(packed) - 4) * at)
    packed[position] ^= flip
    file = tmp_path_factory.getbasetemp() / NAMES[compression]
    file.write_bytes(packed)
    found = list(scan_records(file, is_valid=lambda pairs: _is_reading(dict(pairs))))
    good, bad = [each.text for each in found if not each.reason], [each for each in found if each.reason]
    assert [each.reason for each in bad] in ([], [f"broken_{compression}"])
    if not bad:
        # Such as the time in a header.
        assert good == RECORDS
    ends = [sum(len(PACK[compression](content)) for content in contents[: number + 1]) for number in range(len(contents))]
    damaged = next(number for number, end in enumerate(ends) if position < end)
    before, behind = b"".join(contents[:damaged]), b"".join(contents[damaged + 1 :])
    content = (
        unpacked(bytes(packed), compression)[0].removeprefix(before).removesuffix(behind).decode("utf-8", "surrogateescape")
    )
    trusted = list(_readings_before_the_first_unreadable(content))
    # gzip and zstd check a member as a whole: a changed value in front of the first unreadable record lands.
    assert good == [*before.decode().splitlines(), *trusted, *behind.decode().splitlines()]
    # bzip2 checks each block before any of it comes out.
    assert compression != "bzip2" or set(trusted) <= set(RECORDS)


@settings(max_examples=100, deadline=None)
@given(compression=st.sampled_from(COMPRESSIONS), content=st.binary(max_size=300), begin=st.booleans())
def test_reading_any_bytes_ends(compression: Compression, content: bytes, begin: bool) -> None:
    unpacked((PACK[compression](MEMBERS[0])[:20] if begin else b"") + content, compression)


def test_a_format_is_detected_by_content() -> None:
    assert detect_compression(gzip.compress(b""), "a.json") == "gzip"
    assert detect_compression(bz2.compress(b""), "a") == detect_compression(bz2.compress(b"x"), "a.gz") == "bzip2"
    assert detect_compression(PACK["zstd"](b"x"), "a.json.gz") == "zstd"
    assert detect_compression(b'{"user": 1}', "a.json.gz") is None
    assert detect_compression(b"BZhonest\n", "a.json") is None
    assert detect_compression(b"\0" + gzip.compress(b"x")[1:], "a.json.gz") == "gzip"
    assert [detect_other_format(head) for head in (b"PAR1", b"Obj\x01", b"PK\x03\x04", b"\x04\x22\x4d\x18", b"{}")] == [
        *("Parquet", "Avro", "zip", "lz4"),
        None,
    ]


def test_an_undamaged_bzip2_file_is_decompressed_to_another(tmp_path: Path) -> None:
    content = b"".join(MEMBERS) * 1000
    (tmp_path / "a").write_bytes(bz2.compress(content) + bytes(10) + bz2.compress(MEMBERS[0]))
    assert decompress_bzip2(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == content + MEMBERS[0]
    (tmp_path / "a").write_bytes(bz2.compress(content) + b"more")
    assert not decompress_bzip2(tmp_path / "a", tmp_path / "b")
