"""Published models, and the record of training runs in MLflow."""
