"""PyIceberg's catalog on SQLite, with metadata files that bear names of ours."""

import re
from typing import Any

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import StagedTable

from stedi.own_files import own_uuid

_UNIQUE_PART = re.compile(r"[0-9a-f-]{36}(?=\.metadata\.json$)")


class SqliteCatalog(SqlCatalog):
    """A catalog whose every file tells who made it, also one that a killed process left torn or never committed."""

    def _update_and_stage_table(self, *given: Any, **named: Any) -> StagedTable:
        staged = super()._update_and_stage_table(*given, **named)
        staged.metadata_location = _UNIQUE_PART.sub(str(own_uuid()), staged.metadata_location)
        return staged
