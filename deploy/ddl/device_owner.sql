-- which customer each device belongs to, from claims and from coinciding reading times, over all customers
CREATE TABLE IF NOT EXISTS `stedi`.`device_owner` (
  `serialnumber` string COMMENT 'serial number of the device, trimmed and case-folded',
  `person` string COMMENT 'normalised e-mail address: equal for all spellings of an address, of the owner; empty when not clear',
  `status` string COMMENT 'claimed, confirmed, inferred, ambiguous or unknown',
  `claimants` bigint COMMENT 'customers whose records carry this serial; one more when a record has no e-mail address',
  `reading_times` bigint COMMENT 'distinct times at which the device took a reading',
  `coincidences` bigint COMMENT 'of those that few people share, how many are also times of the best candidate\'s accelerometer',
  `runner_up_coincidences` bigint COMMENT 'the same of the second-best candidate'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/device_owner/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
