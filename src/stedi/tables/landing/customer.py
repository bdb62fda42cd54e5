"""Customer records as received from the website and the fulfilment system: one record for each update."""

from stedi.model.feed import Feed, Field
from stedi.model.rules import Rule, not_null

# The public landing set has birthdays from the year 967.
BIRTHDAY_PLAUSIBLE = Rule("birthday_plausible", "warn", "birthdays are in 1900 or later", where="birthDay < '1900-01-01'")

FEED = Feed(
    name="customer",
    folders=("customer", "customers", "customer_landing"),
    meaning="customer records as received, one for each update of a customer: consent is given and withdrawn over time",
    fields=(
        Field("customerName", "text", "full name", personal=True),
        Field("email", "text", "e-mail address as received", personal=True, identifies="person"),
        Field("phone", "text", "phone number", personal=True),
        Field("birthDay", "text", "date of birth as received", personal=True),
        Field(
            "serialNumber",
            "text",
            "serial number of the customer's device according to the fulfilment system; a claim, often wrong",
            personal=True,
            identifies="device",
        ),
        Field("registrationDate", "milliseconds", "time of registration (ms since the epoch, UTC)"),
        Field("lastUpdateDate", "milliseconds", "time of this update (ms since the epoch, UTC)"),
        Field(
            "shareWithResearchAsOfDate",
            "milliseconds",
            "start of consent to share with research (ms since the epoch, UTC); null: no consent",
            lenient=True,
        ),
        Field(
            "shareWithPublicAsOfDate",
            "milliseconds",
            "start of consent to share with the public (ms since the epoch, UTC); null: no consent",
            lenient=True,
        ),
        Field(
            "shareWithFriendsAsOfDate",
            "milliseconds",
            "start of consent to share with friends (ms since the epoch, UTC); null: no consent",
            lenient=True,
        ),
    ),
    one_of=("lastUpdateDate", "registrationDate"),
    decides_consent=True,
    rules=(
        not_null(
            "has_email",
            "every record has an e-mail address; a record without one belongs to no known customer",
            "person",
            level="warn",
        ),
        Rule(
            "consent_date_usable",
            "warn",
            "every research consent date is a time in milliseconds; a record with another value gives no consent",
            # An unusable date is in extra_fields, under its key as received: in any case, possibly with blanks around it.
            where="shareWithResearchAsOfDate IS NULL AND regexp_matches(array_to_string(json_keys(extra_fields), chr(10)), "
            r"'(?im)^\s*shareWithResearchAsOfDate\s*$')",
        ),
        BIRTHDAY_PLAUSIBLE,
    ),
)
