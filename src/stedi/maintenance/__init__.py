"""Keep the files of a warehouse few: compaction, expiry, removal of orphan files."""
