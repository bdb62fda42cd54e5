"""Curated zone: joined and ready for analysis."""
