-- the landing files of the feed step_trainer
CREATE EXTERNAL TABLE IF NOT EXISTS `stedi_raw`.`step_trainer_landing` (
  `sensorreadingtime` bigint COMMENT 'time of the reading, on the device\'s clock (ms since the epoch, UTC)',
  `serialnumber` string COMMENT 'serial number that the device itself reports; reliable',
  `distancefromobject` double COMMENT 'distance to the nearest object, in the device\'s unit'
)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES ('case.insensitive' = 'true', 'ignore.malformed.json' = 'true')
LOCATION 's3://YOUR-LANDING-BUCKET/step_trainer/'
TBLPROPERTIES ('classification' = 'json');

-- distance readings as received from the step trainers, of all devices
CREATE TABLE IF NOT EXISTS `stedi`.`step_trainer_landing` (
  `sensorreadingtime` bigint COMMENT 'time of the reading, on the device\'s clock (ms since the epoch, UTC)',
  `serialnumber` string COMMENT 'serial number that the device itself reports; reliable',
  `distancefromobject` double COMMENT 'distance to the nearest object, in the device\'s unit',
  `device` string COMMENT 'normalised serial number: trimmed and case-folded',
  `extra_fields` string COMMENT 'unknown keys of the record with their values, as JSON',
  `source_file` string COMMENT 'file of the record, relative to the landing folder',
  `source_position` bigint COMMENT 'number of the record in its file, from 1',
  `arrived_at` timestamp COMMENT 'modification time of the file'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/step_trainer_landing/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
