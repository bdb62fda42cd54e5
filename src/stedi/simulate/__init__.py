"""Simulate landing files of any size, with the defects of the real feeds and the ground truth."""

from stedi.simulate.options import IDEAL, SimulationOptions

__all__ = ["IDEAL", "SimulationOptions"]
