"""Records that could not be read or are invalid."""

from stedi.model.table import Column, Table
from stedi.tables.landing.feeds import FEEDS

TABLE = Table(
    name="quarantine",
    zone="landing",
    meaning="records that could not be read or are invalid, as received, with the reason",
    grain="one quarantined record",
    key=("source_file", "source_position"),
    rejects_of=tuple(feed.table.name for feed in FEEDS),
    query="SELECT * FROM rejects",
    columns=(
        Column("feed", "string", "feed of the file", required=True),
        Column("source_file", "string", "file of the record, relative to the landing folder", required=True),
        Column("source_position", "long", "number of the record in its file, from 1", required=True),
        Column("raw_record", "string", "the record's text as received; bytes that are not UTF-8 are escaped", personal=True),
        Column("reason", "string", "reason for the quarantine, such as not_json or x_not_a_number", required=True),
        Column("arrived_at", "timestamptz", "modification time of the file", required=True),
        Column(
            "people",
            "string",
            "customers named in the record, one per line, for feeds that decide consent; their consent may be on hold",
            personal=True,
        ),
    ),
    sort=("source_file", "source_position"),
)
