"""Landing files of any size with the defects of the real feeds, and the truth behind them."""

from stedi.simulate.conditions import Conditions
from stedi.simulate.landing_files import Simulated, simulate

__all__ = ["Conditions", "Simulated", "simulate"]
