-- the landing files of the feed customer
CREATE EXTERNAL TABLE IF NOT EXISTS `stedi_raw`.`customer_landing` (
  `customername` string COMMENT 'full name',
  `email` string COMMENT 'e-mail address as received',
  `phone` string COMMENT 'phone number',
  `birthday` string COMMENT 'date of birth as received',
  `serialnumber` string COMMENT 'serial number of the customer\'s device according to the fulfilment system; a claim, often wrong',
  `registrationdate` bigint COMMENT 'time of registration (ms since the epoch, UTC)',
  `lastupdatedate` bigint COMMENT 'time of this update (ms since the epoch, UTC)',
  `sharewithresearchasofdate` bigint COMMENT 'start of consent to share with research (ms since the epoch, UTC); null: no consent',
  `sharewithpublicasofdate` bigint COMMENT 'start of consent to share with the public (ms since the epoch, UTC); null: no consent',
  `sharewithfriendsasofdate` bigint COMMENT 'start of consent to share with friends (ms since the epoch, UTC); null: no consent'
)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES ('case.insensitive' = 'true', 'ignore.malformed.json' = 'true')
LOCATION 's3://YOUR-LANDING-BUCKET/customer/'
TBLPROPERTIES ('classification' = 'json');

-- customer records as received, one for each update of a customer: consent is given and withdrawn over time
CREATE TABLE IF NOT EXISTS `stedi`.`customer_landing` (
  `customername` string COMMENT 'full name',
  `email` string COMMENT 'e-mail address as received',
  `phone` string COMMENT 'phone number',
  `birthday` string COMMENT 'date of birth as received',
  `serialnumber` string COMMENT 'serial number of the customer\'s device according to the fulfilment system; a claim, often wrong',
  `registrationdate` bigint COMMENT 'time of registration (ms since the epoch, UTC)',
  `lastupdatedate` bigint COMMENT 'time of this update (ms since the epoch, UTC)',
  `sharewithresearchasofdate` bigint COMMENT 'start of consent to share with research (ms since the epoch, UTC); null: no consent',
  `sharewithpublicasofdate` bigint COMMENT 'start of consent to share with the public (ms since the epoch, UTC); null: no consent',
  `sharewithfriendsasofdate` bigint COMMENT 'start of consent to share with friends (ms since the epoch, UTC); null: no consent',
  `person` string COMMENT 'normalised e-mail address, the same for all spellings of an address',
  `device` string COMMENT 'normalised serial number: trimmed and case-folded',
  `extra_fields` string COMMENT 'unknown keys of the record with their values, as JSON',
  `source_file` string COMMENT 'file of the record, relative to the landing folder',
  `source_position` bigint COMMENT 'number of the record in its file, from 1',
  `arrived_at` timestamp COMMENT 'modification time of the file'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/customer_landing/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
