"""The state of the store as Prometheus reads it."""
