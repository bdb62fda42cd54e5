-- distinct step-trainer readings of devices whose owner is in customers_curated
CREATE TABLE IF NOT EXISTS `stedi`.`step_trainer_trusted` (
  `sensorreadingtime` bigint COMMENT 'when the reading was taken (ms since the epoch, UTC)',
  `serialnumber` string COMMENT 'serial number that the device reports, trimmed and case-folded',
  `distancefromobject` double COMMENT 'distance of the object in front of the sensor',
  `person` string COMMENT 'normalised e-mail address: equal for all spellings of an address, of the owner',
  `phone_time_ms` bigint COMMENT 'when the reading was taken, by the clock of the owner\'s phone (ms since the epoch, UTC); empty when not known',
  `clock_uncertainty_ms` double COMMENT 'how far off phone_time_ms may be (ms); 0 where the clocks agree to the millisecond'
)
PARTITIONED BY (truncate(86400000, `sensorreadingtime`))
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/step_trainer_trusted/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
