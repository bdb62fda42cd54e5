"""Landing zone: records as received, and quarantined records."""
