-- how many devices have a clear owner, by evidence
SELECT
  "status",
  COUNT(*) AS "devices",
  COUNT("person") AS "with_owner",
  SUM("reading_times") AS "reading_times"
FROM "device_owner"
GROUP BY
  "status"
ORDER BY
  "devices" DESC,
  "status";
