"""Curated zone: joined tables, ready for analysis."""
