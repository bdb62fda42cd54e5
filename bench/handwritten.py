"""Baseline of the benchmarks: a hand-written DuckDB script from clean JSON to the trusted and curated tables.

Writes the same rows as `stedi run` on clean files under the policy `customer`, as plain Parquet files: no landing
tables, checks, commits, sorting or partitions.
"""

import sys
from pathlib import Path

import duckdb


def main(landing: str, out: str) -> None:
    """Read the feeds below `landing`, write five Parquet files below `out`."""
    Path(out).mkdir(parents=True, exist_ok=True)
    db = duckdb.connect()
    db.execute(f"""
CREATE TEMP TABLE customer AS SELECT *, lower(trim(email)) AS person FROM read_json('{landing}/customer/**/*.json',
    format='newline_delimited', columns={{customerName: 'VARCHAR', email: 'VARCHAR', phone: 'VARCHAR', birthDay: 'VARCHAR',
    serialNumber: 'VARCHAR', registrationDate: 'BIGINT', lastUpdateDate: 'BIGINT', shareWithResearchAsOfDate: 'BIGINT',
    shareWithPublicAsOfDate: 'BIGINT', shareWithFriendsAsOfDate: 'BIGINT'}});
CREATE TEMP TABLE accelerometer AS SELECT *, lower(trim("user")) AS person FROM
    read_json('{landing}/accelerometer/**/*.json', format='newline_delimited',
    columns={{"user": 'VARCHAR', timeStamp: 'BIGINT', x: 'DOUBLE', y: 'DOUBLE', z: 'DOUBLE'}});
CREATE TEMP TABLE step_trainer AS SELECT * FROM read_json('{landing}/step_trainer/**/*.json', format='newline_delimited',
    columns={{sensorReadingTime: 'BIGINT', serialNumber: 'VARCHAR', distanceFromObject: 'DOUBLE'}});
CREATE TEMP TABLE customer_trusted AS
WITH moments AS (
    SELECT person, lastUpdateDate AS u, registrationDate AS r,
        count(*) = count(shareWithResearchAsOfDate) AS consents
    FROM customer WHERE person <> '' GROUP BY ALL),
newest AS (SELECT person, arg_max(struct_pack(u := u, r := r, consents := consents), (u, r)) AS n
    FROM moments GROUP BY person)
SELECT DISTINCT ON (c.person) c.* FROM customer AS c JOIN newest AS w
ON c.person = w.person AND c.lastUpdateDate = w.n.u AND c.registrationDate = w.n.r WHERE w.n.consents
ORDER BY c.person, shareWithResearchAsOfDate DESC, customerName DESC;
CREATE TEMP TABLE accelerometer_trusted AS
SELECT DISTINCT c.email AS "user", a.timeStamp, a.x, a.y, a.z, c.person
FROM accelerometer AS a JOIN customer_trusted AS c USING (person);
CREATE TEMP TABLE device_owner AS
WITH claims AS (SELECT DISTINCT serialNumber, coalesce(person, '') AS person FROM customer),
claimed AS (SELECT serialNumber, count(*) AS n, max(person) AS who FROM claims GROUP BY 1),
times AS (SELECT DISTINCT serialNumber, sensorReadingTime AS t FROM step_trainer),
people AS (SELECT DISTINCT person, timeStamp AS t FROM accelerometer SEMI JOIN times ON times.t = timeStamp),
matches AS (SELECT serialNumber, person, count(*) AS n FROM times JOIN people USING (t) GROUP BY 1, 2),
best AS (SELECT serialNumber, max_by(person, n) AS who, max(n, 2) AS top FROM matches GROUP BY 1)
SELECT serialNumber, CASE WHEN top[1] - coalesce(top[2], 0) >= greatest(3, 0.2 * top[1]) THEN best.who
    WHEN claimed.n = 1 AND claimed.who <> '' THEN claimed.who END AS person
FROM best FULL JOIN claimed USING (serialNumber);
CREATE TEMP TABLE customers_curated AS
SELECT c.*, o.serialNumber AS device_serial_number, sha256('key' || c.person) AS customer_pseudonym
FROM customer_trusted AS c SEMI JOIN accelerometer_trusted AS a ON a.person = c.person
LEFT JOIN (SELECT person, max(serialNumber) AS serialNumber FROM device_owner GROUP BY 1) AS o ON o.person = c.person;
CREATE TEMP TABLE step_trainer_trusted AS
SELECT DISTINCT s.*, o.person FROM step_trainer AS s JOIN device_owner AS o USING (serialNumber)
SEMI JOIN customers_curated AS c ON c.person = o.person;
CREATE TEMP TABLE machine_learning_curated AS
SELECT c.customer_pseudonym, sha256('key' || s.serialNumber) AS device_pseudonym, a.timeStamp, a.x, a.y, a.z,
    s.distanceFromObject, s.sensorReadingTime
FROM step_trainer_trusted AS s
JOIN accelerometer_trusted AS a ON a.person = s.person AND a.timeStamp = s.sensorReadingTime
JOIN customers_curated AS c ON c.person = s.person;
""")
    for table in (
        "customer_trusted",
        "accelerometer_trusted",
        "customers_curated",
        "step_trainer_trusted",
        "machine_learning_curated",
    ):
        db.execute(f"COPY {table} TO '{out}/{table}.parquet' (FORMAT parquet, COMPRESSION zstd)")
        print(table, db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
