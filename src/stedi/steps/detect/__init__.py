"""Step detection in files of readings."""
