"""Trusted zone: typed, checked, without duplicates, of customers who consent and nobody else."""
