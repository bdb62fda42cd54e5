-- the newest record of each customer whose consent to research is in force and not on hold
CREATE TABLE IF NOT EXISTS `stedi`.`customer_trusted` (
  `person` string COMMENT 'normalised e-mail address, the same for all spellings of an address',
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
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/customer_trusted/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
