-- the result of every rule in every run that checked it
CREATE TABLE IF NOT EXISTS `stedi`.`rule_result` (
  `run_id` string COMMENT 'the run',
  `run_number` bigint COMMENT 'consecutive number of the run',
  `checked_at` timestamp COMMENT 'when the run recorded the result',
  `policy` string COMMENT 'consent policy of the run',
  `table_name` string COMMENT 'the table that was checked',
  `rule` string COMMENT 'name of the rule',
  `level` string COMMENT 'error (violations prevent publication) or warn (violations are counted)',
  `meaning` string COMMENT 'what holds if there is no violation, in words',
  `checked_rows` bigint COMMENT 'number of rows of the table',
  `broken_rows` bigint COMMENT 'number of rows that violate the rule',
  `examples` string COMMENT 'a few violations of this run, as JSON; customers and devices by the start of their pseudonym'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/rule_result/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
