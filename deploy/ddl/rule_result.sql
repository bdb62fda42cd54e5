-- what every rule found in every run that checked it
CREATE TABLE IF NOT EXISTS `stedi`.`rule_result` (
  `run_id` string COMMENT 'the run',
  `run_number` bigint COMMENT 'runs count up; a later run has a larger number',
  `checked_at` timestamp COMMENT 'when the run recorded it',
  `policy` string COMMENT 'consent policy of the run',
  `table_name` string COMMENT 'table that was checked',
  `rule` string COMMENT 'name of the rule',
  `level` string COMMENT 'error (nothing is published) or warn',
  `meaning` string COMMENT 'what the rule promises',
  `checked_rows` bigint COMMENT 'rows of the table',
  `broken_rows` bigint COMMENT 'rows that break the promise',
  `examples` string COMMENT 'a few of the rows that this run found, as JSON; persons and devices under the start of their pseudonym'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/rule_result/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
