-- the raw files of the customer feed
CREATE EXTERNAL TABLE IF NOT EXISTS `stedi_raw`.`customer_landing` (
  `customername` string COMMENT 'full name',
  `email` string COMMENT 'e-mail address',
  `phone` string COMMENT 'phone number',
  `birthday` string COMMENT 'date of birth as given',
  `serialnumber` string COMMENT 'serial number of the device as the fulfilment system has it: a claim',
  `registrationdate` bigint COMMENT 'when the customer registered (ms since the epoch, UTC)',
  `lastupdatedate` bigint COMMENT 'when this record was written (ms since the epoch, UTC)',
  `sharewithresearchasofdate` bigint COMMENT 'since when the customer shares with research; empty: not',
  `sharewithpublicasofdate` bigint COMMENT 'since when the customer shares with the public; empty: not',
  `sharewithfriendsasofdate` bigint COMMENT 'since when the customer shares with friends; empty: not'
)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES ('case.insensitive' = 'true', 'ignore.malformed.json' = 'true')
LOCATION 's3://YOUR-LANDING-BUCKET/customer/'
TBLPROPERTIES ('classification' = 'json');

-- customer records as received: a change feed in which consent comes and goes
CREATE TABLE IF NOT EXISTS `stedi`.`customer_landing` (
  `customername` string COMMENT 'full name',
  `email` string COMMENT 'e-mail address',
  `phone` string COMMENT 'phone number',
  `birthday` string COMMENT 'date of birth as given',
  `serialnumber` string COMMENT 'serial number of the device as the fulfilment system has it: a claim',
  `registrationdate` bigint COMMENT 'when the customer registered (ms since the epoch, UTC)',
  `lastupdatedate` bigint COMMENT 'when this record was written (ms since the epoch, UTC)',
  `sharewithresearchasofdate` bigint COMMENT 'since when the customer shares with research; empty: not',
  `sharewithpublicasofdate` bigint COMMENT 'since when the customer shares with the public; empty: not',
  `sharewithfriendsasofdate` bigint COMMENT 'since when the customer shares with friends; empty: not',
  `person` string COMMENT 'normalised e-mail address: equal for all spellings of an address',
  `device` string COMMENT 'normalised serial number: trimmed and case-folded',
  `extra_fields` string COMMENT 'unknown keys of the record with their values, as JSON',
  `source_file` string COMMENT 'file of the record, relative to the landing folder',
  `source_position` bigint COMMENT 'number of the record in its file, from 1',
  `arrived_at` timestamp COMMENT 'modification time of the file'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/customer_landing/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
