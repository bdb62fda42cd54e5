-- how the reading times of each device coincide with those of phones, hour by hour, over all customers
CREATE TABLE IF NOT EXISTS `stedi`.`device_evidence` (
  `serialnumber` string COMMENT 'serial number of the device, trimmed and case-folded',
  `hour_ms` bigint COMMENT 'start of the hour (ms since the epoch, UTC)',
  `place` bigint COMMENT 'the candidate\'s place among all people by coincidences in this hour, from 1; 0 where nobody has any',
  `person` string COMMENT 'normalised e-mail address: equal for all spellings of an address, of the candidate',
  `reading_times` bigint COMMENT 'distinct times of the hour at which the device took a reading',
  `first_reading_ms` bigint COMMENT 'the first of them (ms since the epoch, UTC)',
  `last_reading_ms` bigint COMMENT 'the last of them (ms since the epoch, UTC)',
  `compared_times` bigint COMMENT 'reading times that were compared with phones: those that few people share; a sample where clocks disagree',
  `coincidences` bigint COMMENT 'of those, how many coincide with readings of the candidate\'s accelerometer, at the offset',
  `compared_before` bigint COMMENT 'compared times before the first that coincides',
  `compared_after` bigint COMMENT 'compared times after the last that coincides',
  `offset_ms` double COMMENT 'how far the device\'s clock is ahead of the candidate\'s phone (ms)',
  `offset_uncertainty_ms` double COMMENT 'half the width of the range of offsets that fit as well (ms)',
  `is_continuous` boolean COMMENT 'whether the candidate\'s phone records without a pause, and matches at any offset',
  `is_regular` boolean COMMENT 'whether readings have even intervals, so that others may tick in step; not asked where they coincide exactly',
  `accident_log` bigint COMMENT 'logarithm of the chance that readings which have nothing to do with the device coincide so often (thousandths)',
  `presence_log` bigint COMMENT 'logarithm of the share of people of the hour who are active when the device is (thousandths)',
  `people` bigint COMMENT 'people who recorded anything in this hour'
)
PARTITIONED BY (truncate(86400000, `hour_ms`))
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/device_evidence/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
