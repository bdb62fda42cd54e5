-- pairs of readings and their time span, by pseudonymised person
SELECT
  "customer_pseudonym",
  COUNT(*) AS "pairs",
  COUNT(DISTINCT "device_pseudonym") AS "devices",
  FROM_UNIXTIME(CAST(MIN("timestamp") AS DOUBLE) / POW(10, 3)) AS "first_reading",
  FROM_UNIXTIME(CAST(MAX("timestamp") AS DOUBLE) / POW(10, 3)) AS "last_reading"
FROM "machine_learning_curated"
GROUP BY
  "customer_pseudonym"
ORDER BY
  "pairs" DESC,
  "customer_pseudonym";
