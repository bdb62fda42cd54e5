"""Declarations as plain values without I/O: tables, rules, feeds, column types, identities."""
