-- records that could not be read or are not valid, kept as they came with a named reason
CREATE TABLE IF NOT EXISTS `stedi`.`quarantine` (
  `feed` string COMMENT 'feed that the record arrived in',
  `source_file` string COMMENT 'file that the record came from, relative to the landing folder',
  `source_position` bigint COMMENT 'number of the record in its file, from 1',
  `raw_record` string COMMENT 'the text as received; bytes that are no UTF-8 are escaped',
  `reason` string COMMENT 'why it was not taken, such as not_json or x_not_a_number',
  `arrived_at` timestamp COMMENT 'when the file was last written',
  `people` string COMMENT 'who can be read in a record of a feed that decides on consent, one a line: their consent may be on hold'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/quarantine/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
