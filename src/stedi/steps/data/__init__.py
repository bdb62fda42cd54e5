"""Training data: stretches of motion, true step times, positions."""
