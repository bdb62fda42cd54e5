-- accelerometer readings: received, distinct, and kept in the trusted table
SELECT
  (
    SELECT
      COUNT(*)
    FROM "accelerometer_landing"
  ) AS "received",
  (
    SELECT
      COUNT(*)
    FROM (
      SELECT DISTINCT
        "user",
        "timestamp",
        "x",
        "y",
        "z"
      FROM "accelerometer_landing"
    ) AS "readings"
  ) AS "apart",
  (
    SELECT
      COUNT(*)
    FROM "accelerometer_trusted"
  ) AS "kept";
