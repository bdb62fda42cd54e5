"""Keep tables small and old runs readable."""
