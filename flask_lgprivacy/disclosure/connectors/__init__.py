"""Connectors to recipients, each over the guarded client."""
