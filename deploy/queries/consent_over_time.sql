-- how many customers gave and withdrew consent, by month (UTC)
SELECT
  "month_of_change",
  SUM("given") AS "given",
  SUM("withdrawn") AS "withdrawn"
FROM (
  SELECT
    DATE_TRUNC('MONTH', FROM_UNIXTIME(CAST("consented_from_ms" AS DOUBLE) / POW(10, 3))) AS "month_of_change",
    1 AS "given",
    0 AS "withdrawn"
  FROM "consent_history"
  UNION ALL
  SELECT
    DATE_TRUNC('MONTH', FROM_UNIXTIME(CAST("consented_to_ms" AS DOUBLE) / POW(10, 3))) AS "month_of_change",
    0 AS "given",
    1 AS "withdrawn"
  FROM "consent_history"
  WHERE
    NOT "consented_to_ms" IS NULL
) AS "changes"
GROUP BY
  "month_of_change"
ORDER BY
  "month_of_change";
