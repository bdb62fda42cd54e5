"""Evaluation of the detector on held-out people."""
