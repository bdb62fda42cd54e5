"""Published models and tracked training runs."""
