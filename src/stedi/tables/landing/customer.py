"""Customer records as received from the website and the fulfilment system: a change feed."""

from stedi.model.feed import Feed, Field
from stedi.model.rules import Rule

FEED = Feed(
    name="customer",
    folders=("customer", "customers", "customer_landing"),
    meaning="customer records as received: a change feed in which consent comes and goes",
    fields=(
        Field("customerName", "text", "full name", personal=True),
        Field("email", "text", "e-mail address", personal=True, identifies="person"),
        Field("phone", "text", "phone number", personal=True),
        Field("birthDay", "text", "date of birth as given", personal=True),
        Field(
            "serialNumber",
            "text",
            "serial number of the device as the fulfilment system has it: a claim",
            personal=True,
            identifies="device",
        ),
        Field("registrationDate", "milliseconds", "when the customer registered (ms since the epoch, UTC)"),
        Field("lastUpdateDate", "milliseconds", "when this record was written (ms since the epoch, UTC)"),
        Field(
            "shareWithResearchAsOfDate",
            "milliseconds",
            "since when the customer shares with research; empty: not",
            lenient=True,
        ),
        Field(
            "shareWithPublicAsOfDate",
            "milliseconds",
            "since when the customer shares with the public; empty: not",
            lenient=True,
        ),
        Field(
            "shareWithFriendsAsOfDate",
            "milliseconds",
            "since when the customer shares with friends; empty: not",
            lenient=True,
        ),
    ),
    one_of=("lastUpdateDate", "registrationDate"),
    decides_consent=True,
    rules=(
        Rule(
            "has_email",
            "warn",
            "a record without an e-mail address belongs to nobody that we can name",
            where="person IS NULL",
        ),
        Rule(
            "consent_date_usable",
            "warn",
            "a consent date was given that is no date in milliseconds; the customer counts as not consenting",
            # An unreadable date is kept in extra_fields under its key as spelled: in any case, and in blanks.
            where="shareWithResearchAsOfDate IS NULL AND regexp_matches(array_to_string(json_keys(extra_fields), chr(10)), "
            r"'(?im)^\s*shareWithResearchAsOfDate\s*$')",
        ),
        # No one alive was born before 1900; the public landing set has birthdays from 967.
        Rule(
            "birthday_plausible",
            "warn",
            "nobody alive was born before 1900",
            where="birthDay < '1900-01-01'",
        ),
    ),
)
