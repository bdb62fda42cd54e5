"""The tables: one module each, below the folder of its zone."""
