"""The step detector: training, picking of steps, export."""
