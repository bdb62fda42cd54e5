-- which customer each device belongs to, from claims and from coinciding reading times, over all customers
CREATE TABLE IF NOT EXISTS `stedi`.`device_owner` (
  `serialnumber` string COMMENT 'serial number of the device, trimmed and case-folded',
  `period` bigint COMMENT 'number of the period: a device that changes hands has several',
  `from_ms` bigint COMMENT 'start of the period (ms since the epoch, UTC); empty for a device\'s first',
  `to_ms` bigint COMMENT 'end of the period, which is not part of it (ms since the epoch, UTC); empty for a device\'s last',
  `person` string COMMENT 'the owner, by the e-mail address in the form in which all its spellings agree; empty when not clear',
  `status` string COMMENT 'claimed, confirmed, inferred, ambiguous or unknown',
  `confidence` double COMMENT 'probability, from reading times alone, that the device is the best candidate\'s; empty without a candidate',
  `claimants` bigint COMMENT 'customers whose records carry this serial; one more when a record has no e-mail address',
  `reading_times` bigint COMMENT 'distinct times of the period at which the device took a reading',
  `first_reading_ms` bigint COMMENT 'the first of them (ms since the epoch, UTC)',
  `last_reading_ms` bigint COMMENT 'the last of them (ms since the epoch, UTC)',
  `compared_times` bigint COMMENT 'reading times that were compared with phones: those that few people share; a sample where clocks disagree',
  `coincidences` bigint COMMENT 'of those, how many coincide with readings of the best candidate\'s accelerometer, at the offset',
  `runner_up_coincidences` bigint COMMENT 'the same of the second-best candidate, at its best offset',
  `offset_ms` double COMMENT 'how far the device\'s clock is ahead of the best candidate\'s phone (ms)',
  `offset_uncertainty_ms` double COMMENT 'half the width of the range of its offsets (ms)',
  `clock_differs` boolean COMMENT 'whether most coincidences with the owner\'s phone are at an offset; otherwise clocks are taken to agree'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/device_owner/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
