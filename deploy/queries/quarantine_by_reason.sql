-- how many records are quarantined, from how many files, by feed and reason
SELECT
  "feed",
  "reason",
  COUNT(*) AS "records",
  COUNT(DISTINCT "source_file") AS "files",
  MAX("arrived_at") AS "last_arrived"
FROM "quarantine"
GROUP BY
  "feed",
  "reason"
ORDER BY
  "records" DESC,
  "feed",
  "reason";
