-- serial numbers with the most claimants, and whether an owner was found
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
