-- the latest record of each customer whose consent to research is in force and not on hold
CREATE TABLE IF NOT EXISTS `stedi`.`customer_trusted` (
  `person` string COMMENT 'normalised e-mail address: equal for all spellings of an address',
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
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/customer_trusted/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
