"""Write to tables as other programs do."""

import shutil
import uuid
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record

from tests.support.compare import opened
from tests.support.lake import Lake

_DELETES = pa.schema(
    [
        pa.field("file_path", pa.string(), nullable=False, metadata={"PARQUET:field_id": "2147483546"}),
        pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": "2147483545"}),
    ]
)


def delete_as_athena_does(lake: Lake, name: str, condition: str) -> int:
    """Mark the rows that meet a condition as deleted, by files that give their files and row numbers."""
    with opened(lake, name) as table:
        deleted: dict[Record, list[dict[str, object]]] = defaultdict(list)
        for task in table.scan().plan_files():
            file = task.file
            rows = pq.read_table(file.file_path.removeprefix("file://"))
            rows = rows.append_column("row number", pa.array(range(len(rows))))
            found = duckdb.execute(f'SELECT "row number" FROM rows WHERE {condition} ORDER BY 1').fetchall()
            deleted[file.partition] += [{"file_path": file.file_path, "pos": number} for (number,) in found]
        with table.transaction() as transaction, transaction.update_snapshot().fast_append() as producer:
            # A delete file applies to the data files of its own partition.
            for partition, positions in ((key, value) for key, value in deleted.items() if value):
                path = Path(table.location().removeprefix("file://")) / "data" / f"{uuid.uuid4()}-delete.parquet"
                pq.write_table(pa.Table.from_pylist(positions, schema=_DELETES), path)
                deletes = DataFile.from_args(
                    content=DataFileContent.POSITION_DELETES,
                    file_path=f"file://{path}",
                    file_format=FileFormat.PARQUET,
                    partition=partition,
                    record_count=len(positions),
                    file_size_in_bytes=path.stat().st_size,
                )
                deletes.spec_id = table.spec().spec_id
                producer.append_data_file(deletes)
    return sum(map(len, deleted.values()))


def delete_by_equality(lake: Lake, name: str, column: str, value: str, *, added: Sequence[str] = ()) -> None:
    """Delete the rows that have a value in a text column, as Flink does: by a file that contains the value.

    The same commit adds data files, which it does not apply to.
    """
    with opened(lake, name) as table:
        field = table.schema().find_field(column)
        schema = pa.schema([pa.field(column, pa.string(), metadata={"PARQUET:field_id": str(field.field_id)})])
        path = Path(table.location().removeprefix("file://")) / "data" / f"{uuid.uuid4()}-equality.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({column: [value]}, schema=schema), path)
        with table.transaction() as transaction, transaction.update_snapshot().fast_append() as producer:
            for data in added:
                producer.append_data_file(parquet_file_to_data_file(table.io, table.metadata, f"file://{data}"))
            # One for each partition: a delete applies to the data files of its own.
            for partition in {file.file.partition for file in table.scan().plan_files()}:
                deletes = DataFile.from_args(
                    content=DataFileContent.EQUALITY_DELETES,
                    file_path=f"file://{path}",
                    file_format=FileFormat.PARQUET,
                    partition=partition,
                    record_count=1,
                    file_size_in_bytes=path.stat().st_size,
                    equality_ids=[field.field_id],
                    lower_bounds={field.field_id: value.encode()},
                    upper_bounds={field.field_id: value.encode()},
                )
                deletes.spec_id = table.spec().spec_id
                producer.append_data_file(deletes)


def append_to_branch(lake: Lake, name: str, branch: str) -> int:
    """Commit to a branch: the rows of one of its data files once more. Return the new snapshot's ID."""
    with opened(lake, name) as table:
        task = next(iter(table.scan(snapshot_id=table.refs()[branch].snapshot_id).plan_files()))
        copied = task.file.file_path.replace(".parquet", f"-{uuid.uuid4()}.parquet")
        shutil.copy(task.file.file_path.removeprefix("file://"), copied.removeprefix("file://"))
        added = parquet_file_to_data_file(table.io, table.metadata, copied)
        with table.transaction() as transaction, transaction.update_snapshot(branch=branch).fast_append() as producer:
            producer.append_data_file(added)
        return table.refs()[branch].snapshot_id
