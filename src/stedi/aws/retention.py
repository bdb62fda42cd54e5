"""How long a deployment keeps what expires on its own. The templates set it, and an erasure says it."""

# Query results are copies of rows, so they are deleted soon.
RESULT_DAYS = 7
# Longer than a quarter, so that a quarterly review can still look up who read what.
ACCESS_LOG_DAYS = 120
# Days until older versions in the buckets of results and access logs are deleted.
OLD_VERSION_DAYS = 1
