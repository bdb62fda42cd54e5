"""Engines: what computes. Each is one file; nothing else knows which one is at work."""
