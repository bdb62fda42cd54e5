-- customers whose consent is on hold, because a record of theirs can't be used
CREATE TABLE IF NOT EXISTS `stedi`.`consent_hold` (
  `person` string COMMENT 'normalised e-mail address: equal for all spellings of an address',
  `held_since` timestamp COMMENT 'when the newest record that can\'t be used arrived',
  `records` bigint COMMENT 'how many records of this customer can\'t be used',
  `source_file` string COMMENT 'file of the newest of them, relative to the landing folder',
  `source_position` bigint COMMENT 'number of that record in its file, from 1',
  `reason` string COMMENT 'why that record can\'t be used'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/consent_hold/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
