"""Declarations as plain values without I/O: tables, columns, rules, feeds, and who a row is about."""
