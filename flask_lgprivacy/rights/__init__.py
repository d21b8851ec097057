"""Rights of data subjects: requests, export, rectification, erasure."""
