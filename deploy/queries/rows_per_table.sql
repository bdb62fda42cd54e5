-- number of rows of each table, in run order
SELECT
  "zone",
  "table_name",
  "table_rows"
FROM (
  SELECT
    1 AS "place",
    'landing' AS "zone",
    'customer_landing' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "customer_landing"
  UNION ALL
  SELECT
    2 AS "place",
    'landing' AS "zone",
    'accelerometer_landing' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "accelerometer_landing"
  UNION ALL
  SELECT
    3 AS "place",
    'landing' AS "zone",
    'step_trainer_landing' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "step_trainer_landing"
  UNION ALL
  SELECT
    4 AS "place",
    'landing' AS "zone",
    'quarantine' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "quarantine"
  UNION ALL
  SELECT
    5 AS "place",
    'reference' AS "zone",
    'consent_history' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "consent_history"
  UNION ALL
  SELECT
    6 AS "place",
    'reference' AS "zone",
    'consent_hold' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "consent_hold"
  UNION ALL
  SELECT
    7 AS "place",
    'reference' AS "zone",
    'device_evidence' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "device_evidence"
  UNION ALL
  SELECT
    8 AS "place",
    'reference' AS "zone",
    'device_owner' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "device_owner"
  UNION ALL
  SELECT
    9 AS "place",
    'trusted' AS "zone",
    'customer_trusted' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "customer_trusted"
  UNION ALL
  SELECT
    10 AS "place",
    'trusted' AS "zone",
    'accelerometer_trusted' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "accelerometer_trusted"
  UNION ALL
  SELECT
    11 AS "place",
    'curated' AS "zone",
    'customers_curated' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "customers_curated"
  UNION ALL
  SELECT
    12 AS "place",
    'trusted' AS "zone",
    'step_trainer_trusted' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "step_trainer_trusted"
  UNION ALL
  SELECT
    13 AS "place",
    'curated' AS "zone",
    'machine_learning_curated' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "machine_learning_curated"
  UNION ALL
  SELECT
    14 AS "place",
    'operations' AS "zone",
    'rule_result' AS "table_name",
    COUNT(*) AS "table_rows"
  FROM "rule_result"
) AS "counted"
ORDER BY
  "place";
