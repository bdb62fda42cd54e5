-- violations of each rule in the newest run that checked it, violated rules first
SELECT
  "table_name",
  "rule",
  "level",
  "broken_rows",
  "checked_rows",
  "meaning",
  "run_id"
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (PARTITION BY "table_name", "rule" ORDER BY "run_number" DESC) AS "age"
  FROM "rule_result"
) AS "results"
WHERE
  "age" = 1
ORDER BY
  CASE WHEN "broken_rows" > 0 THEN 0 ELSE 1 END,
  "level",
  "table_name",
  "rule";
