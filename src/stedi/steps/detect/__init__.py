"""Find steps in files of readings."""
