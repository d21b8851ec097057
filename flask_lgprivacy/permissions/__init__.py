"""Permissions: grants, requests for assistance and consents."""
