-- step-trainer readings paired with accelerometer readings of the same customer and time, under pseudonyms
CREATE TABLE IF NOT EXISTS `stedi`.`machine_learning_curated` (
  `customer_pseudonym` string COMMENT 'keyed pseudonym of the customer',
  `device_pseudonym` string COMMENT 'keyed pseudonym of the step trainer',
  `timestamp` bigint COMMENT 'time of the reading, on the phone\'s clock (ms since the epoch, UTC)',
  `x` double COMMENT 'acceleration along the phone\'s x axis, in the phone\'s unit',
  `y` double COMMENT 'acceleration along the phone\'s y axis, in the phone\'s unit',
  `z` double COMMENT 'acceleration along the phone\'s z axis, in the phone\'s unit',
  `distancefromobject` double COMMENT 'distance to the nearest object, in the device\'s unit',
  `sensorreadingtime` bigint COMMENT 'time of the reading, on the device\'s clock (ms since the epoch, UTC)'
)
PARTITIONED BY (truncate(86400000, `timestamp`))
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/machine_learning_curated/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
