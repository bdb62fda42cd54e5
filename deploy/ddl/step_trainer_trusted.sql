-- distinct step-trainer readings of devices whose owner is in customers_curated
CREATE TABLE IF NOT EXISTS `stedi`.`step_trainer_trusted` (
  `sensorreadingtime` bigint COMMENT 'when the reading was taken (ms since the epoch, UTC)',
  `serialnumber` string COMMENT 'serial number that the device reports, trimmed and case-folded',
  `distancefromobject` double COMMENT 'distance of the object in front of the sensor',
  `person` string COMMENT 'normalised e-mail address: equal for all spellings of an address, of the owner'
)
PARTITIONED BY (truncate(86400000, `sensorreadingtime`))
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/step_trainer_trusted/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
