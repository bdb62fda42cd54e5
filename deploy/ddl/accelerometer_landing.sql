-- the landing files of the feed accelerometer
CREATE EXTERNAL TABLE IF NOT EXISTS `stedi_raw`.`accelerometer_landing` (
  `user` string COMMENT 'e-mail address of the customer',
  `timestamp` bigint COMMENT 'time of the reading, on the phone\'s clock (ms since the epoch, UTC)',
  `x` double COMMENT 'acceleration along the phone\'s x axis, in the phone\'s unit',
  `y` double COMMENT 'acceleration along the phone\'s y axis, in the phone\'s unit',
  `z` double COMMENT 'acceleration along the phone\'s z axis, in the phone\'s unit'
)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES ('case.insensitive' = 'true', 'ignore.malformed.json' = 'true')
LOCATION 's3://YOUR-LANDING-BUCKET/accelerometer/'
TBLPROPERTIES ('classification' = 'json');

-- accelerometer readings as received from the phone app, of all customers
CREATE TABLE IF NOT EXISTS `stedi`.`accelerometer_landing` (
  `user` string COMMENT 'e-mail address of the customer',
  `timestamp` bigint COMMENT 'time of the reading, on the phone\'s clock (ms since the epoch, UTC)',
  `x` double COMMENT 'acceleration along the phone\'s x axis, in the phone\'s unit',
  `y` double COMMENT 'acceleration along the phone\'s y axis, in the phone\'s unit',
  `z` double COMMENT 'acceleration along the phone\'s z axis, in the phone\'s unit',
  `person` string COMMENT 'normalised e-mail address, the same for all spellings of an address',
  `extra_fields` string COMMENT 'unknown keys of the record with their values, as JSON',
  `source_file` string COMMENT 'file of the record, relative to the landing folder',
  `source_position` bigint COMMENT 'number of the record in its file, from 1',
  `arrived_at` timestamp COMMENT 'modification time of the file'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/accelerometer_landing/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
