"""Export of fitted trees to skops: equal trees give equal files."""

import json
from io import BytesIO
from typing import Any
from zipfile import ZipFile, ZipInfo

import skops.io
from lightgbm import LGBMRegressor

_SCHEMA = "schema.json"
_ID = "__id__"


def export_skops(trees: LGBMRegressor) -> bytes:
    """Return the content of the file `model.skops`.

    skops writes the time of the export and the memory address of each object. They are replaced by the earliest time of the
    format and by numbers, so that a hash of the file shows whether two models are equal.
    """
    with ZipFile(BytesIO(skops.io.dumps(trees))) as archive:
        # Arrays would be further files, named by the memory address. The trees have none.
        assert archive.namelist() == [_SCHEMA]
        schema = json.loads(archive.read(_SCHEMA))
    _number_objects(schema, {})
    content = BytesIO()
    with ZipFile(content, "w") as archive:
        archive.writestr(ZipInfo(_SCHEMA), json.dumps(schema))
    return content.getvalue()


def _number_objects(node: Any, numbers: dict[int, int]) -> None:
    """Replace the memory addresses in a schema by numbers from 1, in the order in which they first appear."""
    if isinstance(node, dict):
        if _ID in node:
            node[_ID] = numbers.setdefault(node[_ID], len(numbers) + 1)
        for value in node.values():
            _number_objects(value, numbers)
    elif isinstance(node, list):
        for value in node:
            _number_objects(value, numbers)
