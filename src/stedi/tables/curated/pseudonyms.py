"""What holds for tables that know customers by their pseudonyms alone."""

from stedi.model.rules import Rule

KNOWN_PSEUDONYM = Rule(
    "known_pseudonym",
    "error",
    "every row belongs to a customer in customers_curated",
    violations="""
            SELECT customer_pseudonym, n FROM (
                SELECT customer_pseudonym, count(*) AS n FROM {rows} GROUP BY customer_pseudonym) AS r
            WHERE NOT EXISTS (
                SELECT 1 FROM customers_curated AS c WHERE c.customer_pseudonym = r.customer_pseudonym)""",
    by=("customer_pseudonym",),
)
