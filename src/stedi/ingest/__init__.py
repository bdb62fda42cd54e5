"""Landing files: which are new, and the records in them."""
