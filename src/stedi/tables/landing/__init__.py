"""Landing zone: every readable record as received, and what could not be read."""
