-- customers in customer_trusted who have accelerometer readings in accelerometer_trusted, with their device
CREATE TABLE IF NOT EXISTS `stedi`.`customers_curated` (
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
  `sharewithfriendsasofdate` bigint COMMENT 'start of consent to share with friends (ms since the epoch, UTC); null: no consent',
  `device_serial_number` string COMMENT 'serial number of the customer\'s device, resolved by device_owner; of several, the one with most readings',
  `device_count` bigint COMMENT 'number of devices that the customer owns',
  `customer_pseudonym` string COMMENT 'keyed pseudonym of the customer, as in machine_learning_curated'
)
LOCATION 's3://YOUR-LAKEHOUSE-BUCKET/lakehouse/stedi/customers_curated/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd');
