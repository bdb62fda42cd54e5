-- customers whose consent is on hold: a record of theirs is unusable, and no usable one is in a newer file
CREATE TABLE IF NOT EXISTS `stedi`.`consent_hold` (
  `person` string COMMENT 'normalised e-mail address, the same for all spellings of an address',
  `held_since` timestamp COMMENT 'arrival of the newest unusable record',
  `records` bigint COMMENT 'number of the customer\'s unusable records',
  `source_file` string COMMENT 'file of the newest unusable record, relative to the landing folder',
  `source_position` bigint COMMENT 'number of that record in its file, from 1',
  `reason` string COMMENT 'why that record is unusable'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/consent_hold/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
