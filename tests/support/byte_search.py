"""Search every byte below folders for texts, unpacked. Shares no code with the program's own scan."""

import bz2
import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import zstandard
from pyiceberg.avro.file import AvroFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.typedef import Record

_ESCAPED = re.compile(rb"\\u([0-9a-fA-F]{4})")
_UNPACKED_BYTES = 1 << 30


def files_containing(values: Iterable[str], *folders: Path) -> list[tuple[str, str]]:
    """Return the files whose name or unpacked content contains a text, in any case, and the text."""
    wanted = {value: value.lower().encode() for value in values}
    hits = set()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder.parent))
            pieces = [name.encode(), *(_pieces(path) if path.is_file() else ())]
            lowered = [
                piece.decode("utf-8", "surrogateescape").lower().encode("utf-8", "surrogateescape") for piece in pieces
            ]
            hits |= {(name, value) for value, text in wanted.items() if any(text in piece for piece in lowered)}
    return sorted(hits)


def _pieces(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    yield from _unpacked(content)
    if content.startswith(b"PAR1"):
        yield _parquet(path).encode()
    elif content.startswith(b"Obj\x01"):
        with AvroFile[Record](PyArrowFileIO().new_input(str(path))) as file:
            yield (repr(file.header.meta) + repr(list(file))).encode()


def _parquet(path: Path) -> str:
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(number).to_dict() for number in range(metadata.num_row_groups)]
    rows = pq.ParquetFile(path).read().to_pylist()
    return json.dumps([rows, groups, str(metadata.metadata)], default=str, ensure_ascii=False)


def _unpacked(content: bytes) -> Iterator[bytes]:
    """Yield content as it is, without JSON escapes, and unpacked."""
    yield content
    if b"\\u" in content:
        yield _ESCAPED.sub(lambda match: chr(int(match[1], 16)).encode("utf-8", "surrogatepass"), content)
    if content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield from _unpacked(archive.read(name))
        return
    for start, unpack in (
        (b"\x1f\x8b", gzip.decompress),
        (b"BZh", bz2.decompress),
        (b"\x28\xb5\x2f\xfd", unpack_zstandard),
        (b"\x78", zlib.decompress),
    ):
        if content.startswith(start):
            try:
                yield from _unpacked(unpack(content))
            except (OSError, EOFError, zlib.error, zstandard.ZstdError):
                # A file that only looks packed, or a damaged one.
                continue


def unpack_zstandard(content: bytes) -> bytes:
    """Unpack all frames."""
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content), read_across_frames=True) as reader:
        return reader.read(_UNPACKED_BYTES)
