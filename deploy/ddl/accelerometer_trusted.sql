-- distinct accelerometer readings of the customers in customer_trusted
CREATE TABLE IF NOT EXISTS `stedi`.`accelerometer_trusted` (
  `user` string COMMENT 'e-mail address as in the customer\'s newest record',
  `timestamp` bigint COMMENT 'time of the reading, on the phone\'s clock (ms since the epoch, UTC)',
  `x` double COMMENT 'acceleration along the phone\'s x axis, in the phone\'s unit',
  `y` double COMMENT 'acceleration along the phone\'s y axis, in the phone\'s unit',
  `z` double COMMENT 'acceleration along the phone\'s z axis, in the phone\'s unit',
  `person` string COMMENT 'normalised e-mail address, the same for all spellings of an address'
)
PARTITIONED BY (truncate(86400000, `timestamp`))
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/accelerometer_trusted/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
