-- rules with violations, by run
SELECT
  "run_number",
  "checked_at",
  "table_name",
  "rule",
  "level",
  "broken_rows"
FROM "rule_result"
WHERE
  "broken_rows" > 0
ORDER BY
  "run_number" DESC,
  "table_name",
  "rule";
