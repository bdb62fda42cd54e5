-- the owner of each device and period, from claims and coinciding reading times, over all customers
CREATE TABLE IF NOT EXISTS `stedi`.`device_owner` (
  `serialnumber` string COMMENT 'normalised serial number of the device',
  `period` bigint COMMENT 'number of the period, from 1; several if the device changed hands',
  `from_ms` bigint COMMENT 'start of the period, included (ms since the epoch, UTC); null for the first period',
  `to_ms` bigint COMMENT 'end of the period, excluded (ms since the epoch, UTC); null for the last period',
  `person` string COMMENT 'the owner: normalised e-mail address; null if not clear',
  `status` string COMMENT 'confirmed (sole claim and reading times agree), inferred (reading times), claimed (sole claim), ambiguous, or unknown (no claim, no candidate)',
  `confidence` double COMMENT 'probability, from reading times alone, that the best candidate is the owner; null without a candidate',
  `claimants` bigint COMMENT 'number of customers who claim the device; records without an e-mail address count as one customer',
  `reading_times` bigint COMMENT 'distinct reading times of the device in the period',
  `first_reading_ms` bigint COMMENT 'the first of them (ms since the epoch, UTC)',
  `last_reading_ms` bigint COMMENT 'the last of them (ms since the epoch, UTC)',
  `compared_times` bigint COMMENT 'reading times compared with phones, without times that many people share; a sample if clocks differ',
  `coincidences` bigint COMMENT 'compared times that coincide with readings of the best candidate\'s phone at the offset',
  `runner_up_coincidences` bigint COMMENT 'the same for the second-best candidate, at its offset',
  `offset_ms` double COMMENT 'time that the device\'s clock is ahead of the best candidate\'s phone (ms)',
  `offset_uncertainty_ms` double COMMENT 'half the width of the range of its offsets (ms)',
  `clock_differs` boolean COMMENT 'whether most coincidences with the owner\'s phone are at an offset; if false, clocks are assumed to agree'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/device_owner/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
