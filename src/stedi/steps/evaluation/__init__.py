"""How good a detector is on people it has not seen."""
