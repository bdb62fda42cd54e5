"""Erasure of people: plan, landing files, tables, history, models, and the proof."""
