"""Containers with some content hidden in them: one for each kind that the scan opens."""

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

ADDRESS, OTHER = b"ann@example.com", b"joann@example.com"
FILLER = b"filler\n" * 50


def split(content: bytes) -> bytes:
    """A text that ends with some content. Compression replaces it by references to its halves."""
    return b"\n".join((content[:7], content[7:], content, FILLER))


def zipped(content: bytes, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("member.txt", content)
    return file.getvalue()


def tarred(content: bytes, name: str = "member.txt") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def number(value: int) -> bytes:
    """A number as Avro writes it."""
    value, content = value << 1, b""
    while value > 0x7F:
        content, value = content + bytes([value & 0x7F | 0x80]), value >> 7
    return content + bytes([value])


def snappy(content: bytes) -> bytes:
    return bytes(pa.Codec("snappy").compress(content)) + zlib.crc32(content).to_bytes(4, "big")


def deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def avro(content: bytes, codec: bytes, pack: Callable[[bytes], bytes]) -> bytes:
    value = number(len(content)) + content
    block = pack(number(len(FILLER)) + FILLER + value)
    entry = b"".join(number(len(text)) + text for text in (b"avro.codec", codec))
    sync = b"0123456789abcdef"
    return b"Obj\x01" + number(1) + entry + number(0) + sync + number(2) + number(len(block)) + block + sync


def puffin(content: bytes, codec: str = "zstd", pack: Callable[[bytes], bytes] = zstandard.compress) -> bytes:
    blob = pack(content)
    footer = json.dumps({"blobs": [{"offset": 4, "length": len(blob), "compression-codec": codec}]}).encode()
    return b"PFA1" + blob + b"PFA1" + footer + struct.pack("<I", len(footer)) + bytes(4) + b"PFA1"


def puffin_footer(content: bytes) -> bytes:
    document = json.dumps({"blobs": [], "properties": {"a": split(content).decode()}}).encode()
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "lz4") as stream:
        stream.write(document)
    footer = bytes(packed.getvalue())
    return b"PFA1" + b"PFA1" + footer + struct.pack("<I", len(footer)) + b"\1\0\0\0" + b"PFA1"


def lz4(content: bytes) -> bytes:
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "lz4") as stream:
        stream.write(content)
    return bytes(packed.getvalue())


def png(kind: bytes, chunk: bytes) -> bytes:
    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = part(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + part(kind, chunk) + part(b"IDAT", zlib.compress(b"\0\0")) + part(b"IEND", b"")


def sqlite(content: bytes, *, as_blob: bool = False) -> bytes:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE t (n, a, b)")
        # Of several pages: its bytes are not next to each other.
        value = content if as_blob else (b"x" * 4_000 + b" " + content).decode()
        database.executemany("INSERT INTO t VALUES (?, ?, ?)", [(n, value, "y") for n in range(3)])
        database.commit()
        return database.serialize()


def npz(content: bytes) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, values=np.array([FILLER + content]))
    return file.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain text": bytes,
    "with control characters": lambda content: b"\x00\x01\x02 " + content + b" \x00",
    "UTF-16": lambda content: content.decode().encode("utf-16-le"),
    "JSON with escapes": lambda content: b'{"a": "' + content.replace(b"@", b"\\u0040") + b'"}',
    "gzip": gzip.compress,
    "gzip, two members": lambda content: gzip.compress(b"a\n") + gzip.compress(content),
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "xz": lambda content: lzma.compress(split(content)),
    "lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
    "zstd": lambda content: zstandard.compress(split(content)),
    "zstd, two frames": lambda content: zstandard.compress(b"a\n") + zstandard.compress(split(content)),
    "lz4": lambda content: lz4(split(content)),
    "zip": zipped,
    "zip, bzip2": lambda content: zipped(content, zipfile.ZIP_BZIP2),
    "zip, lzma": lambda content: zipped(content, zipfile.ZIP_LZMA),
    "tar": tarred,
    "name in a tar": lambda content: tarred(b"", content.decode()),
    "tar.gz": lambda content: gzip.compress(tarred(content)),
    "gzip in zip in tar in zstd": lambda content: zstandard.compress(tarred(zipped(gzip.compress(content)))),
    "npz": npz,
    "Avro, plain": lambda content: avro(content, b"null", bytes),
    "Avro, deflate": lambda content: avro(content, b"deflate", deflate),
    "Avro, Snappy": lambda content: avro(split(content), b"snappy", snappy),
    "Avro, Zstandard": lambda content: avro(split(content), b"zstandard", zstandard.compress),
    "Avro, xz": lambda content: avro(split(content), b"xz", lzma.compress),
    "Avro, bzip2": lambda content: avro(content, b"bzip2", bz2.compress),
    "Puffin": lambda content: puffin(split(content)),
    "Puffin, LZ4": lambda content: puffin(split(content), "lz4", lz4),
    "Puffin, footer": puffin_footer,
    "PNG, tEXt": lambda content: png(b"tEXt", b"Title\0" + content),
    "PNG, zTXt": lambda content: png(b"zTXt", b"Title\0\0" + zlib.compress(split(content))),
    "PNG, iTXt": lambda content: png(b"iTXt", b"Title\0\1\0\0\0" + zlib.compress(split(content))),
    "SVG": lambda content: b"<svg><text>" + content.replace(b"@", b"&#64;") + b"</text></svg>",
    "SQLite": sqlite,
    "gzip in SQLite": lambda content: sqlite(gzip.compress(FILLER + content), as_blob=True),
    "SQLite in zip": lambda content: zipped(sqlite(content)),
}


def parquet(table: pa.Table, **options: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def column(values: pa.Array) -> pa.Table:
    return pa.table({"c": values})


def around(content: bytes) -> list[str]:
    return [f"{n}.first@example.com" for n in range(50)] + [content.decode()] + [f"last.{n}@example.com" for n in range(50)]


NUMBERS = pa.array([1, 2, 3])
COLUMNS: dict[str, Callable[[bytes], bytes]] = {
    "dictionary": lambda content: parquet(column(pa.array(around(content))), compression="zstd"),
    "values": lambda content: parquet(column(pa.array(around(content))), use_dictionary=False, compression="zstd"),
    "prefixes": lambda content: parquet(
        column(pa.array(around(content))), use_dictionary=False, column_encoding={"c": "DELTA_BYTE_ARRAY"}
    ),
    "statistics": lambda content: parquet(column(pa.array([content.decode()])), compression="gzip"),
    "not compressed": lambda content: parquet(column(pa.array(around(content))), compression="none"),
    "entry that no row uses": lambda content: parquet(
        column(pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array(["a", *around(content)]))), write_statistics=False
    ),
    "binary": lambda content: parquet(column(pa.array([text.encode() for text in around(content)], pa.large_binary()))),
    "binary of one length": lambda content: parquet(column(pa.array([content, content], pa.binary(len(content))))),
    "list": lambda content: parquet(column(pa.array([["a", "b"], around(content)])), write_statistics=False),
    "struct in a list": lambda content: parquet(
        column(pa.array([[{"e": text} for text in around(content)]])), write_statistics=False
    ),
    "map": lambda content: parquet(
        column(pa.array([[(text, 1) for text in around(content)]], pa.map_(pa.string(), pa.int64()))), write_statistics=False
    ),
    "escaped in JSON": lambda content: parquet(column(pa.array(around(content.replace(b"@", b"\\u0040"))))),
    "name of a column": lambda content: parquet(pa.table({content.decode(): NUMBERS})),
    "metadata": lambda content: parquet(column(NUMBERS).replace_schema_metadata({"note": content.decode()})),
    "metadata of a column": lambda content: parquet(
        pa.table([NUMBERS], pa.schema([pa.field("c", pa.int64(), metadata={"note": content.decode()})]))
    ),
    "third row group": lambda content: parquet(column(pa.array(around(content)[::-1])), row_group_size=25),
}
