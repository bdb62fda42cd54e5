-- step-trainer readings with the same customer's accelerometer readings of the same moment, under pseudonyms
CREATE TABLE IF NOT EXISTS `stedi`.`machine_learning_curated` (
  `customer_pseudonym` string COMMENT 'the customer, under a keyed pseudonym',
  `device_pseudonym` string COMMENT 'the step trainer, under a keyed pseudonym',
  `timestamp` bigint COMMENT 'when the accelerometer reading was taken, by the phone\'s clock (ms since the epoch, UTC)',
  `x` double COMMENT 'acceleration along the phone\'s x axis',
  `y` double COMMENT 'acceleration along the phone\'s y axis',
  `z` double COMMENT 'acceleration along the phone\'s z axis',
  `distancefromobject` double COMMENT 'distance of the object in front of the step trainer',
  `sensorreadingtime` bigint COMMENT 'when the step-trainer reading was taken, by the device\'s clock (ms since the epoch, UTC)'
)
PARTITIONED BY (truncate(86400000, `timestamp`))
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/machine_learning_curated/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
