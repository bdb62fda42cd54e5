"""Retention: old raw records of people without consent are removed."""
