-- serial numbers that stand in the records of most customers, and whether an owner came out
SELECT
  "serialnumber",
  "claimants",
  "status",
  "coincidences",
  "runner_up_coincidences"
FROM "device_owner"
WHERE
  "claimants" > 1
ORDER BY
  "claimants" DESC,
  "serialnumber"
LIMIT 50;
