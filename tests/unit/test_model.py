"""Declarations as values: column types, rules, and what decides a table's rows."""

from dataclasses import replace
from typing import get_args

import pyarrow as pa
import pytest

from stedi.model.column_types import COLUMN_TYPES, ColumnType
from stedi.model.rules import Rule, not_null, references, unique
from stedi.model.table import Table
from stedi.tables.registry import ALL, BY_NAME

TABLE = BY_NAME["customers_curated"]


def reworded(table: Table) -> Table:
    """The same table in other words: meanings, comments and indentation differ."""
    return replace(
        table,
        meaning="other words",
        grain="other words",
        columns=tuple(replace(column, meaning="other words") for column in table.columns),
        rules=tuple(replace(rule, meaning="other words") for rule in table.rules),
        query="\n".join(f"    {line}\n    -- other words" for line in table.query.splitlines() if "--" not in line),
    )


def test_every_column_type_has_its_names() -> None:
    assert set(COLUMN_TYPES) == set(get_args(ColumnType))
    for names in COLUMN_TYPES.values():
        function, *arguments = names.arrow
        assert isinstance(getattr(pa, function)(*arguments), pa.DataType)


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_rewording_a_table_keeps_its_definition(table: Table) -> None:
    assert reworded(table).definition == table.definition


@pytest.mark.parametrize(
    "changed",
    [
        replace(TABLE, query=TABLE.query.replace("DESC", "ASC", 1)),
        replace(TABLE, columns=(replace(TABLE.columns[0], type="long"), *TABLE.columns[1:])),
        replace(TABLE, columns=(replace(TABLE.columns[0], name="somebody"), *TABLE.columns[1:])),
        replace(TABLE, columns=(replace(TABLE.columns[0], required=False), *TABLE.columns[1:])),
        replace(TABLE, key=("customer_pseudonym",)),
        replace(TABLE, rules=TABLE.rules[1:]),
        replace(TABLE, rules=(*TABLE.rules[:-1], replace(TABLE.rules[-1], where="device_count < 0"))),
        replace(TABLE, rules=(*TABLE.rules[:-1], replace(TABLE.rules[-1], level="error"))),
        replace(TABLE, incremental=None),
        replace(TABLE, incremental=TABLE.incremental and replace(TABLE.incremental, key="lower(k)")),
        replace(TABLE, incremental=TABLE.incremental and replace(TABLE.incremental, inputs={})),
    ],
    ids=lambda table: "",
)
def test_whatever_decides_rows_is_in_the_definition(changed: Table) -> None:
    assert changed.definition != TABLE.definition


def test_rule_factories_quote_names() -> None:
    assert not_null("r", "", "a", 'b"c').where == '"a" IS NULL OR "b""c" IS NULL'
    assert unique("r", "", "user", "x").by == ("user", "x")
    assert 'referenced."user" = counted."user"' in (references("r", "", "user", "t").violations or "")


def test_a_rule_has_one_condition_and_names_the_columns_of_violations() -> None:
    for where, violations, by in ((None, None, ()), ("x", "SELECT", ("a",)), (None, "SELECT", ()), ("x", None, ("a",))):
        with pytest.raises(ValueError, match="rule r:"):
            Rule("r", "error", "", where, violations, by)
