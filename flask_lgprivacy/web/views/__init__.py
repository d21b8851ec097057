"""Blueprints with which people exercise their rights."""
