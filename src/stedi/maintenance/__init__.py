"""Maintenance of a warehouse: compaction, expiry, deletion of orphan files."""
