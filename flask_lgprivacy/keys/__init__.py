"""The key store: wrapped keys of clients and subjects in their own tables."""
