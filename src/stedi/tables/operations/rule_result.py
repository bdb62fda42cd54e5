"""What the rules found, run by run; runs only ever append to it."""

from stedi.model.table import Column, Table

TABLE = Table(
    name="rule_result",
    zone="operations",
    meaning="what every rule found in every run that checked it",
    grain="one rule checked in one run",
    key=("run_id", "table_name", "rule"),
    columns=(
        Column("run_id", "string", "the run", required=True),
        Column("run_number", "long", "runs count up; a later run has a larger number", required=True),
        Column("checked_at", "timestamptz", "when the run recorded it", required=True),
        Column("policy", "string", "consent policy of the run", required=True),
        Column("table_name", "string", "table that was checked", required=True),
        Column("rule", "string", "name of the rule", required=True),
        Column("level", "string", "error (nothing is published) or warn", required=True),
        Column("meaning", "string", "what the rule promises", required=True),
        Column("checked_rows", "long", "rows of the table", required=True),
        Column("broken_rows", "long", "rows that break the promise", required=True),
        Column(
            "examples",
            "string",
            "a few of the rows that this run found, as JSON; persons and devices under the start of their pseudonym",
        ),
    ),
    sort=("run_number",),
)
