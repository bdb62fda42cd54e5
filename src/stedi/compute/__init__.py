"""Engines: what computes. `Engine` is what a run asks of each; one folder each holds the rest."""

from stedi.compute.affected_keys import Change, delta_relations
from stedi.compute.backend import Difference, Engine, Ingested

__all__ = ["Change", "Difference", "Engine", "Ingested", "delta_relations"]
