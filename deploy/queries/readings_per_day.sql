-- readings of both sensors in the trusted tables, by day (UTC)
SELECT
  "reading_day",
  SUM("accelerometer") AS "accelerometer",
  SUM("step_trainer") AS "step_trainer"
FROM (
  SELECT
    DATE_TRUNC('DAY', FROM_UNIXTIME(CAST("timestamp" AS DOUBLE) / POW(10, 3))) AS "reading_day",
    1 AS "accelerometer",
    0 AS "step_trainer"
  FROM "accelerometer_trusted"
  UNION ALL
  SELECT
    DATE_TRUNC('DAY', FROM_UNIXTIME(CAST("sensorreadingtime" AS DOUBLE) / POW(10, 3))) AS "reading_day",
    0 AS "accelerometer",
    1 AS "step_trainer"
  FROM "step_trainer_trusted"
) AS "readings"
GROUP BY
  "reading_day"
ORDER BY
  "reading_day";
