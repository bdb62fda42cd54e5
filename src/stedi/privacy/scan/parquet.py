"""Search the values of a Parquet file: every text and binary column, with the dictionary entries that no row uses."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from stedi.privacy.scan.file_scan import Container, FileScan
from stedi.privacy.scan.search import Search

_BYTES = ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
_Positions = npt.NDArray[np.int64]


def scan_parquet(container: Container, scan: FileScan) -> None:
    """Search the values of a Parquet file, one column chunk at a time.

    Columns of numbers are left out: the digits of their values are in no file. The raw bytes, such as statistics and
    metadata, are searched elsewhere.

    Raises:
        ArrowException: the file is damaged, encrypted or not supported.
    """
    container.file.seek(0)
    metadata = pq.read_metadata(container.file)
    columns = [metadata.schema.column(number) for number in range(metadata.num_columns)]
    text = [number for number, column in enumerate(columns) if column.physical_type in _BYTES]
    # Arrow's own copy of the schema is in Base64 in the raw bytes.
    scan.search.add_values(*_one_value(_open(container).schema_arrow.serialize().to_pybytes()))
    # A dictionary is read as it is stored: once per column chunk, and with all its entries.
    dictionaries = [columns[number].path for number in text if columns[number].physical_type == _BYTES[0]]
    file = _open(container, read_dictionary=dictionaries)
    for group in range(metadata.num_row_groups):
        places: dict[int, set[int]] = {}
        for column in text:
            try:
                table = file.reader.read_row_group(group, column_indices=[column], use_threads=False)
            except (pa.ArrowException, OSError):
                # Arrow can't read every encoding as a dictionary.
                table = _open(container).reader.read_row_group(group, column_indices=[column], use_threads=False)
            row = 0
            for chunk in table.column(0).chunks:
                for identifier, rows in _search(chunk, scan.search).items():
                    places.setdefault(identifier, set()).update(int(position) + row for position in rows)
                row += len(chunk)
        scan.search.add_rows(places)


def _open(container: Container, **options: Any) -> pq.ParquetFile:
    container.file.seek(0)
    return pq.ParquetFile(container.file, page_checksum_verification=True, **options)


def _one_value(content: bytes) -> tuple[memoryview, _Positions]:
    return memoryview(content), np.array([0, len(content)], np.int64)


def _search(array: pa.Array, search: Search) -> dict[int, _Positions]:
    """Search an array of values; return rows by number of an identifier that counts only together with another.

    Rows of nested arrays are not known, so nothing in them is together with anything.
    """
    if isinstance(array.type, pa.DictionaryType):
        places = _search(array.dictionary, search)
        indices = array.indices.to_numpy(zero_copy_only=False)
        return {number: np.flatnonzero(np.isin(indices, entries)) for number, entries in places.items()}
    if values := _values(array):
        return {number: np.array(rows) for number, rows in search.add_values(*values).items()}
    for child in _children(array):
        _search(child, search)
    return {}


def _values(array: pa.Array) -> tuple[memoryview, _Positions] | None:
    """The bytes of an array of texts, and where each begins; None for other arrays."""
    if isinstance(array, pa.ExtensionArray):
        return _values(array.storage)
    type_ = array.type
    if type_ in (pa.string_view(), pa.binary_view()):
        return _values(array.cast(pa.large_binary()))
    buffers = array.buffers()
    if pa.types.is_fixed_size_binary(type_):
        offsets = np.arange(array.offset, array.offset + len(array) + 1, dtype=np.int64) * type_.byte_width
        return memoryview(buffers[1] or b""), offsets
    widths = {pa.string(): np.int32, pa.binary(): np.int32, pa.large_string(): np.int64, pa.large_binary(): np.int64}
    if type_ not in widths:
        return None
    if buffers[1] is None:
        return memoryview(b""), np.zeros(1, np.int64)
    offsets = np.frombuffer(buffers[1], widths[type_])[array.offset : array.offset + len(array) + 1]
    return memoryview(buffers[2] or b""), offsets.astype(np.int64)


def _children(array: pa.Array) -> Iterator[pa.Array]:
    """The arrays within a nested array, with values that are hidden by a null around them."""
    if isinstance(array, pa.ExtensionArray):
        yield array.storage
    elif isinstance(array, pa.StructArray):
        yield from (array.field(number) for number in range(array.type.num_fields))
    elif isinstance(array, pa.MapArray):
        yield from (array.keys, array.items)
    elif isinstance(array, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        yield array.values
