-- records that could not be read or are invalid, as received, with the reason
CREATE TABLE IF NOT EXISTS `stedi`.`quarantine` (
  `feed` string COMMENT 'feed of the file',
  `source_file` string COMMENT 'file of the record, relative to the landing folder',
  `source_position` bigint COMMENT 'number of the record in its file, from 1',
  `raw_record` string COMMENT 'the record\'s text as received; bytes that are not UTF-8 are escaped',
  `reason` string COMMENT 'reason for the quarantine, such as not_json or x_not_a_number',
  `arrived_at` timestamp COMMENT 'modification time of the file',
  `people` string COMMENT 'customers named in the record, one per line, for feeds that decide consent; their consent may be on hold'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/quarantine/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
