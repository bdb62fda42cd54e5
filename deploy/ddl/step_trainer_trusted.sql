-- distinct step-trainer readings of devices whose owner is in customers_curated
CREATE TABLE IF NOT EXISTS `stedi`.`step_trainer_trusted` (
  `sensorreadingtime` bigint COMMENT 'time of the reading, on the device\'s clock (ms since the epoch, UTC)',
  `serialnumber` string COMMENT 'normalised serial number of the device',
  `distancefromobject` double COMMENT 'distance to the nearest object, in the device\'s unit',
  `person` string COMMENT 'the owner: normalised e-mail address, the same for all spellings of an address',
  `phone_time_ms` bigint COMMENT 'time of the reading on the clock of the owner\'s phone (ms since the epoch, UTC); null if unknown',
  `clock_uncertainty_ms` double COMMENT 'largest error of phone_time_ms (ms); 0 if the clocks agree to the millisecond'
)
PARTITIONED BY (truncate(86400000, `sensorreadingtime`))
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/step_trainer_trusted/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
