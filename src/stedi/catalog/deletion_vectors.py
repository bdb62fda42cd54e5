"""Deletion vectors of other writers as position-delete files, which engines can read."""

from io import BytesIO

from pyiceberg.table.deletion_vector import DeletionVector, deletion_vectors_from_puffin_file
from pyiceberg.table.puffin import PuffinFile

from stedi.catalog.catalog import Catalog
from stedi.catalog.history import LiveFile
from stedi.storage.errors import translate_damage
from stedi.storage.own_files import own_uuid
from stedi.storage.paths import METADATA, plain_path, table_folder

_PUFFIN = b"PFA1"


def readable_position_deletes(catalog: Catalog, name: str, file: LiveFile) -> tuple[str, ...]:
    """Return the paths of Parquet files with the position deletes of a data file.

    The positions of a deletion vector are written to a new file in the table's folder, which is an orphan file.

    Args:
        catalog: the catalog.
        name: the table.
        file: the data file.

    Raises:
        WarehouseError: a deletion vector is damaged.
    """
    paths = []
    for path in file.position_deletes:
        content = catalog.warehouse.read(catalog.warehouse.name_of(path)) if path.endswith(".puffin") else b""
        if content.startswith(_PUFFIN):
            with translate_damage(f"deletion vector of {name}"):
                vectors = deletion_vectors_from_puffin_file(PuffinFile(content))
            own = [vector for vector in vectors if plain_path(vector.referenced_data_file) == file.path]
            paths += [_write(catalog, name, file.path, vector) for vector in own]
        else:
            paths.append(path)
    return tuple(paths)


def _write(catalog: Catalog, name: str, path: str, vector: DeletionVector) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    positions = vector.to_vector()
    content = BytesIO()
    pq.write_table(pa.table({"file_path": [path] * len(positions), "pos": positions.cast(pa.int64())}), content)
    written = f"{table_folder(name)}/{METADATA}/deletes-{own_uuid()}.parquet"
    catalog.warehouse.create(written, content.getvalue())
    return catalog.warehouse.path(written)
