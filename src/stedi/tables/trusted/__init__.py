"""Trusted zone: typed, deduplicated and checked rows of consenting customers only."""
