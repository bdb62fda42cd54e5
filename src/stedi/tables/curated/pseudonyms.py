"""Column and rule of the tables that identify customers by pseudonym only."""

from stedi.model.rules import references
from stedi.model.table import Column

CUSTOMER_PSEUDONYM = Column("customer_pseudonym", "string", "keyed pseudonym of the customer", required=True)
KNOWN_PSEUDONYM = references(
    "known_pseudonym", "every customer is in customers_curated", CUSTOMER_PSEUDONYM.name, "customers_curated"
)
