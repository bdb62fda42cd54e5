"""Named queries over the tables, written in DuckDB's SQL and translated for Athena."""

from dataclasses import dataclass

import sqlglot
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers

from stedi.tables.registry import ALL


@dataclass(frozen=True)
class NamedQuery:
    """One query over the tables, in DuckDB's SQL, and the question that it answers."""

    name: str
    meaning: str
    sql: str

    @property
    def athena(self) -> str:
        """The query in Athena's SQL. Names are in lower case, as in its catalog, and quoted, because some are reserved."""
        parsed = sqlglot.parse_one(self.sql, read="duckdb")
        return normalize_identifiers(parsed, dialect="athena").sql("athena", pretty=True, identify=True)


_ROWS = "\nUNION ALL ".join(
    f"SELECT {place} AS place, '{table.zone}' AS zone, '{table.name}' AS table_name, count(*) AS table_rows "
    f"FROM {table.name}"
    for place, table in enumerate((table for table in ALL if not table.on_demand), start=1)
)

NAMED_QUERIES: tuple[NamedQuery, ...] = (
    NamedQuery(
        "rows_per_table",
        "number of rows of each table, in run order",
        f"SELECT zone, table_name, table_rows FROM ({_ROWS}) AS counted ORDER BY place",
    ),
    NamedQuery(
        "consent_over_time",
        "how many customers gave and withdrew consent, by month (UTC)",
        """
SELECT month_of_change, sum(given) AS given, sum(withdrawn) AS withdrawn
FROM (
    SELECT date_trunc('month', epoch_ms(consented_from_ms)) AS month_of_change, 1 AS given, 0 AS withdrawn
    FROM consent_history
    UNION ALL
    SELECT date_trunc('month', epoch_ms(consented_to_ms)) AS month_of_change, 0 AS given, 1 AS withdrawn
    FROM consent_history WHERE consented_to_ms IS NOT NULL
) AS changes
GROUP BY month_of_change
ORDER BY month_of_change
""",
    ),
    NamedQuery(
        "device_owners_by_status",
        "how many devices have an owner, by status",
        """
SELECT status, count(*) AS devices, count(person) AS with_owner, sum(reading_times) AS reading_times
FROM device_owner GROUP BY status ORDER BY devices DESC, status
""",
    ),
    NamedQuery(
        "readings_per_day",
        "readings of both sensors in the trusted tables, by day (UTC)",
        """
SELECT reading_day, sum(accelerometer) AS accelerometer, sum(step_trainer) AS step_trainer
FROM (
    SELECT date_trunc('day', epoch_ms(timeStamp)) AS reading_day, 1 AS accelerometer, 0 AS step_trainer
    FROM accelerometer_trusted
    UNION ALL
    SELECT date_trunc('day', epoch_ms(sensorReadingTime)) AS reading_day, 0 AS accelerometer, 1 AS step_trainer
    FROM step_trainer_trusted
) AS readings
GROUP BY reading_day
ORDER BY reading_day
""",
    ),
    NamedQuery(
        "readings_left_out",
        "accelerometer readings: received, distinct, and kept in the trusted table",
        """
SELECT
    (SELECT count(*) FROM accelerometer_landing) AS received,
    (SELECT count(*) FROM (SELECT DISTINCT "user", timeStamp, x, y, z FROM accelerometer_landing) AS readings) AS apart,
    (SELECT count(*) FROM accelerometer_trusted) AS kept
""",
    ),
    NamedQuery(
        "quarantine_by_reason",
        "how many records are quarantined, from how many files, by feed and reason",
        """
SELECT feed, reason, count(*) AS records, count(DISTINCT source_file) AS files, max(arrived_at) AS last_arrived
FROM quarantine GROUP BY feed, reason ORDER BY records DESC, feed, reason
""",
    ),
    NamedQuery(
        "quality_of_the_last_run",
        "violations of each rule in the newest run that checked it, violated rules first",
        """
SELECT table_name, rule, level, broken_rows, checked_rows, meaning, run_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY table_name, rule ORDER BY run_number DESC) AS age FROM rule_result
) AS results
WHERE age = 1
ORDER BY CASE WHEN broken_rows > 0 THEN 0 ELSE 1 END, level, table_name, rule
""",
    ),
    NamedQuery(
        "quality_over_time",
        "rules with violations, by run",
        """
SELECT run_number, checked_at, table_name, rule, level, broken_rows
FROM rule_result WHERE broken_rows > 0 ORDER BY run_number DESC, table_name, rule
""",
    ),
    NamedQuery(
        "customers_without_device",
        "how many consenting, active customers have no device, one, or several",
        """
SELECT CASE WHEN device_count = 0 THEN 'none' WHEN device_count = 1 THEN 'one' ELSE 'several' END AS devices,
    count(*) AS customers
FROM customers_curated GROUP BY 1 ORDER BY 1
""",
    ),
    NamedQuery(
        "serials_claimed_by_many",
        "serial numbers with the most claimants, and whether an owner was found",
        """
SELECT serialNumber, claimants, status, coincidences, runner_up_coincidences
FROM device_owner WHERE claimants > 1 ORDER BY claimants DESC, serialNumber LIMIT 50
""",
    ),
    NamedQuery(
        "pairs_per_person",
        "pairs of readings and their time span, by pseudonymised person",
        """
SELECT customer_pseudonym, count(*) AS pairs, count(DISTINCT device_pseudonym) AS devices,
    epoch_ms(min(timeStamp)) AS first_reading, epoch_ms(max(timeStamp)) AS last_reading
FROM machine_learning_curated GROUP BY customer_pseudonym ORDER BY pairs DESC, customer_pseudonym
""",
    ),
    NamedQuery(
        "distance_and_motion",
        "mean acceleration of the phone by distance from the step trainer, in steps of 10",
        """
SELECT floor(distanceFromObject / 10) * 10 AS distance_from, count(*) AS pairs,
    avg(sqrt(x * x + y * y + z * z)) AS mean_acceleration
FROM machine_learning_curated GROUP BY 1 ORDER BY 1
""",
    ),
)
