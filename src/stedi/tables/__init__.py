"""The tables, one module each, in a folder for each zone."""
