-- the phone's motion at a steady rate while the step trainer watched, and the steps that it saw
CREATE TABLE IF NOT EXISTS `stedi`.`step_training_set` (
  `customer_pseudonym` string COMMENT 'the customer, under a keyed pseudonym',
  `session` bigint COMMENT 'the unbroken stretch that the sample belongs to, by the time of its first (ms since the epoch, UTC)',
  `at_ms` bigint COMMENT 'the sample\'s time, every 20 ms (ms since the epoch, UTC)',
  `x` double COMMENT 'acceleration along the phone\'s x axis, between the readings around',
  `y` double COMMENT 'acceleration along the phone\'s y axis, between the readings around',
  `z` double COMMENT 'acceleration along the phone\'s z axis, between the readings around',
  `is_step` boolean COMMENT 'whether a foot passed the step trainer nearest to this sample'
)
PARTITIONED BY (truncate(86400000, `at_ms`))
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/step_training_set/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
