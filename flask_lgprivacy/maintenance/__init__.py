"""Maintenance: rotation, resealing, reindexing, and encrypting existing columns."""
