-- coincidences of each device's reading times with those of phones, by hour, over all customers
CREATE TABLE IF NOT EXISTS `stedi`.`device_evidence` (
  `serialnumber` string COMMENT 'normalised serial number of the device',
  `hour_ms` bigint COMMENT 'start of the hour (ms since the epoch, UTC)',
  `place` bigint COMMENT 'rank of the candidate by coincidences in this hour, from 1; 0: no candidate',
  `person` string COMMENT 'the candidate: normalised e-mail address, the same for all spellings of an address; null: no candidate',
  `reading_times` bigint COMMENT 'distinct reading times of the device in the hour',
  `first_reading_ms` bigint COMMENT 'the first of them (ms since the epoch, UTC)',
  `last_reading_ms` bigint COMMENT 'the last of them (ms since the epoch, UTC)',
  `compared_times` bigint COMMENT 'reading times compared with phones, without times that many people share; a sample if clocks differ',
  `coincidences` bigint COMMENT 'compared times that coincide with readings of the candidate\'s phone at the offset',
  `compared_before` bigint COMMENT 'number of compared times before the first coincidence',
  `compared_after` bigint COMMENT 'number of compared times after the last coincidence',
  `offset_ms` double COMMENT 'time that the device\'s clock is ahead of the candidate\'s phone (ms)',
  `offset_uncertainty_ms` double COMMENT 'half the width of the range of equally good offsets (ms)',
  `is_continuous` boolean COMMENT 'whether the candidate\'s phone records continuously: it matches at any offset',
  `is_regular` boolean COMMENT 'whether the device\'s readings are evenly spaced, so unrelated readings may be in step; false without offset',
  `accident_log` bigint COMMENT 'natural logarithm, in thousandths, of the probability that unrelated readings coincide this often',
  `presence_log` bigint COMMENT 'natural logarithm, in thousandths, of the share of the hour\'s people who record when the device does',
  `people` bigint COMMENT 'people with accelerometer readings in this hour'
)
PARTITIONED BY (truncate(86400000, `hour_ms`))
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/device_evidence/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
