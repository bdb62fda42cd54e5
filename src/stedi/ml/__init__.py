"""The step detector: trained on what the lakehouse holds, tried on people it has not seen, run on any phone's readings."""
