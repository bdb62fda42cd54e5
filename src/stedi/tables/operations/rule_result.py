"""Results of the rules, run by run. Runs only append to it."""

from stedi.model.table import Column, Table

TABLE = Table(
    name="rule_result",
    zone="operations",
    meaning="the result of every rule in every run that checked it",
    grain="one rule checked in one run",
    key=("run_id", "table_name", "rule"),
    columns=(
        Column("run_id", "string", "the run", required=True),
        Column("run_number", "long", "consecutive number of the run", required=True),
        Column("checked_at", "timestamptz", "when the run recorded the result", required=True),
        Column("policy", "string", "consent policy of the run", required=True),
        Column("table_name", "string", "the table that was checked", required=True),
        Column("rule", "string", "name of the rule", required=True),
        Column("level", "string", "error (violations prevent publication) or warn (violations are counted)", required=True),
        Column("meaning", "string", "what holds if there is no violation, in words", required=True),
        Column("checked_rows", "long", "number of rows of the table", required=True),
        Column("broken_rows", "long", "number of rows that violate the rule", required=True),
        Column(
            "examples",
            "string",
            "a few violations of this run, as JSON; customers and devices by the start of their pseudonym",
        ),
    ),
    sort=("run_number",),
)
