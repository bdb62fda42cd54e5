-- how many consenting, active customers have no device, one, or several
SELECT
  CASE
    WHEN "device_count" = 0
    THEN 'none'
    WHEN "device_count" = 1
    THEN 'one'
    ELSE 'several'
  END AS "devices",
  COUNT(*) AS "customers"
FROM "customers_curated"
GROUP BY
  1
ORDER BY
  1;
