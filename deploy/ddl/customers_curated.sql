-- customers in customer_trusted with at least one row in accelerometer_trusted, and their device as resolved
CREATE TABLE IF NOT EXISTS `stedi`.`customers_curated` (
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
  `sharewithfriendsasofdate` bigint COMMENT 'since when the customer shares with friends; empty: not',
  `device_serial_number` string COMMENT 'the device resolved as this customer\'s; the one with most readings, of several',
  `device_count` bigint COMMENT 'how many devices were resolved as this customer\'s',
  `customer_pseudonym` string COMMENT 'keyed pseudonym under which machine_learning_curated knows this customer'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/customers_curated/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
