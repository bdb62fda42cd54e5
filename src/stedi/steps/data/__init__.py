"""Training data: stretches of motion, true step times, phone positions, folds of people."""
