"""Records that could not be read or that break a rule every record must keep."""

from stedi.model.table import Column, Table
from stedi.tables.landing.feeds import FEEDS

TABLE = Table(
    name="quarantine",
    zone="landing",
    meaning="records that could not be read or are not valid, kept as they came with a named reason",
    grain="one unreadable or invalid record",
    key=("source_file", "source_position"),
    rejects_of=tuple(feed.table.name for feed in FEEDS),
    query="SELECT * FROM rejects",
    columns=(
        Column("feed", "string", "feed that the record arrived in", required=True),
        Column(
            "source_file",
            "string",
            "file that the record came from, relative to the landing folder",
            required=True,
        ),
        Column("source_position", "long", "number of the record in its file, from 1", required=True),
        Column("raw_record", "string", "the text as received; bytes that are no UTF-8 are escaped", personal=True),
        Column("reason", "string", "why it was not taken, such as not_json or x_not_a_number", required=True),
        Column("arrived_at", "timestamptz", "when the file was last written", required=True),
        Column(
            "people",
            "string",
            "who can be read in a record of a feed that decides on consent, one a line: their consent may be on hold",
            personal=True,
        ),
    ),
    sort=("source_file", "source_position"),
)
