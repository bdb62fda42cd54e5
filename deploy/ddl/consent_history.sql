-- intervals in which each customer's consent to research was in force, derived from the customer records
CREATE TABLE IF NOT EXISTS `stedi`.`consent_history` (
  `person` string COMMENT 'normalised e-mail address, the same for all spellings of an address',
  `consented_from_ms` bigint COMMENT 'start of the interval, included (ms since the epoch, UTC)',
  `consented_to_ms` bigint COMMENT 'end of the interval, excluded (ms since the epoch, UTC); null while consent is in force or on hold'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/consent_history/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
