-- distinct step-trainer readings of devices whose owner is in customers_curated
CREATE TABLE IF NOT EXISTS `stedi`.`step_trainer_trusted` (
  `sensorreadingtime` bigint COMMENT 'when the reading was taken (ms since the epoch, UTC)',
  `serialnumber` string COMMENT 'serial number that the device reports',
  `distancefromobject` double COMMENT 'distance of the object in front of the sensor',
  `person` string COMMENT 'the owner\'s e-mail address, trimmed and case-folded'
)
PARTITIONED BY (truncate(86400000, `sensorreadingtime`))
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/step_trainer_trusted/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
