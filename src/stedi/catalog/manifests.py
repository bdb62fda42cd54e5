"""Read and write manifests and manifest lists of any format version, with every field that their writer recorded.

PyIceberg's readers drop the fields of format version 3, and its writers refuse that version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyiceberg.avro.file import AvroFile, AvroOutputFile
from pyiceberg.io import FileIO
from pyiceberg.manifest import PartitionFieldStats
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record
from pyiceberg.types import IcebergType, ListType, PrimitiveType, StructType

# Values of a record by Iceberg's field ID. Structs inside of it are such mappings, too.
Fields = dict[int, Any]

# Field IDs of a manifest's entries, of the data files in them, of manifest lists and of partition summaries (Iceberg's
# specification, "Manifests" and "Manifest Lists").
STATUS, SNAPSHOT_ID, DATA_FILE, SEQUENCE_NUMBER, FILE_SEQUENCE_NUMBER = 0, 1, 2, 3, 4
FILE_PATH, FILE_FORMAT, PARTITION, RECORD_COUNT, FILE_SIZE, BLOCK_SIZE = 100, 101, 102, 103, 104, 105
COLUMN_SIZES, VALUE_COUNTS, NULL_COUNTS, NAN_COUNTS, LOWER_BOUNDS, UPPER_BOUNDS = 108, 109, 110, 137, 125, 128
CONTENT, EQUALITY_IDS, FIRST_ROW_ID, REFERENCED_DATA_FILE = 134, 135, 142, 143
MANIFEST_PATH, MANIFEST_LENGTH, SPEC_ID, ADDED_SNAPSHOT_ID = 500, 501, 502, 503
PARTITIONS, MANIFEST_SEQUENCE_NUMBER, MANIFEST_FIRST_ROW_ID = 507, 515, 520
# Counts of files and of rows in a manifest, by the status of its entries.
EXISTING, ADDED, DELETED = 0, 1, 2
FILE_COUNTS, ROW_COUNTS = {ADDED: 504, EXISTING: 505, DELETED: 506}, {ADDED: 512, EXISTING: 513, DELETED: 514}
# Content of a file.
DATA, POSITION_DELETES, EQUALITY_DELETES = 0, 1, 2
_SUMMARY_FIELDS = (509, 518, 510, 511)


@dataclass(frozen=True)
class AvroContent:
    """The content of a manifest or a manifest list.

    Attributes:
        schema: the fields of its records.
        header: the metadata in the file's header.
        records: its records.
    """

    schema: Schema
    header: Mapping[str, str]
    records: tuple[Fields, ...]


def read_avro(io: FileIO, location: str) -> AvroContent:
    """Read a manifest or a manifest list.

    Raises:
        ValueError, TypeError, LookupError, EOFError: the file is damaged.
    """
    with AvroFile[Record](io.new_input(location)) as file:
        struct = file.schema.as_struct()
        return AvroContent(file.schema, file.header.meta, tuple(_as_fields(record, struct) for record in file))


def write_avro(io: FileIO, location: str, name: str, content: AvroContent) -> int:
    """Write a manifest or a manifest list.

    Args:
        io: PyIceberg's access to files.
        location: where to write it.
        name: what Iceberg calls its records: `manifest_entry` or `manifest_file`.
        content: the content. Fields that the schema lacks are left out.

    Returns:
        The size in bytes.
    """
    output, struct = io.new_output(location), content.schema.as_struct()
    with AvroOutputFile[Record](output, content.schema, name, metadata=dict(content.header)) as file:
        if content.records:
            file.write_block([_as_record(fields, struct) for fields in content.records])
    return len(output)


def read_manifest(io: FileIO, manifest: Fields) -> AvroContent:
    """Read a manifest. Its entries get the values that they inherit from the manifest list.

    Args:
        io: PyIceberg's access to files.
        manifest: the manifest's record in a manifest list.

    Raises:
        ValueError, TypeError, LookupError, EOFError: the file is damaged.
    """
    content = read_avro(io, manifest[MANIFEST_PATH])
    sequence_number = manifest.get(MANIFEST_SEQUENCE_NUMBER) or 0
    first_row_id = manifest.get(MANIFEST_FIRST_ROW_ID)
    for entry in content.records:
        if entry.get(SNAPSHOT_ID) is None:
            entry[SNAPSHOT_ID] = manifest[ADDED_SNAPSHOT_ID]
        if sequence_number == 0 or entry[STATUS] == ADDED:
            for field in (SEQUENCE_NUMBER, FILE_SEQUENCE_NUMBER):
                if entry.get(field) is None:
                    entry[field] = sequence_number
        file = entry[DATA_FILE]
        if first_row_id is not None and entry[STATUS] != DELETED and file.get(FIRST_ROW_ID) is None:
            file[FIRST_ROW_ID] = first_row_id
            first_row_id += file[RECORD_COUNT]
    return content


def summarized(manifest: Fields, content: AvroContent) -> Fields:
    """Return the record of a manifest list for new content of a manifest: counts and partition summaries are new."""
    counts: Fields = dict.fromkeys((*FILE_COUNTS.values(), *ROW_COUNTS.values()), 0)
    for entry in content.records:
        counts[FILE_COUNTS[entry[STATUS]]] += 1
        counts[ROW_COUNTS[entry[STATUS]]] += entry[DATA_FILE][RECORD_COUNT]
    partitions = None
    if manifest.get(PARTITIONS) is not None:
        partitions = _partition_summaries(content)
    return {**manifest, **counts, PARTITIONS: partitions}


def _partition_summaries(content: AvroContent) -> list[Fields]:
    struct = content.schema.find_type(PARTITION)
    assert isinstance(struct, StructType)
    summaries = []
    for field in struct.fields:
        assert isinstance(field.field_type, PrimitiveType)
        statistics = PartitionFieldStats(field.field_type)
        for entry in content.records:
            statistics.update(entry[DATA_FILE][PARTITION][field.field_id])
        summary = statistics.to_summary()
        summaries.append({field_id: summary[position] for position, field_id in enumerate(_SUMMARY_FIELDS)})
    return summaries


def _as_fields(value: Any, type_: IcebergType) -> Any:
    if value is not None and isinstance(type_, StructType):
        return {field.field_id: _as_fields(value[position], field.field_type) for position, field in enumerate(type_.fields)}
    if value is not None and isinstance(type_, ListType):
        return [_as_fields(element, type_.element_type) for element in value]
    return value


def _as_record(value: Any, type_: IcebergType) -> Any:
    if value is not None and isinstance(type_, StructType):
        return Record(*(_as_record(value.get(field.field_id), field.field_type) for field in type_.fields))
    if value is not None and isinstance(type_, ListType):
        return [_as_record(element, type_.element_type) for element in value]
    return value
