"""Engines: what computes. `Engine` is what a run asks of each; one folder each holds the rest."""

from stedi.engines.affected_keys import Change, delta_relations
from stedi.engines.engine import Difference, Engine, Ingested

__all__ = ["Change", "Difference", "Engine", "Ingested", "delta_relations"]
