-- how many devices have an owner, by status
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
