"""Engines: what computes. `Engine` is what a run asks of each; one folder each holds the rest."""

from stedi.engines.engine import Difference, Engine, Ingested
from stedi.engines.scope import Change, moved_rows

__all__ = ["Change", "Difference", "Engine", "Ingested", "moved_rows"]
