-- resampled phone motion while a step trainer measured, and the steps that it registered
CREATE TABLE IF NOT EXISTS `stedi`.`step_training_set` (
  `customer_pseudonym` string COMMENT 'keyed pseudonym of the customer',
  `session` bigint COMMENT 'uninterrupted stretch of samples, by the time of its first sample (ms since the epoch, UTC)',
  `at_ms` bigint COMMENT 'time of the sample, a multiple of 20 ms (ms since the epoch, UTC)',
  `x` double COMMENT 'acceleration along the phone\'s x axis, interpolated',
  `y` double COMMENT 'acceleration along the phone\'s y axis, interpolated',
  `z` double COMMENT 'acceleration along the phone\'s z axis, interpolated',
  `is_step` boolean COMMENT 'whether this sample is the nearest to a step: a foot passing the step trainer'
)
PARTITIONED BY (truncate(86400000, `at_ms`))
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/step_training_set/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
