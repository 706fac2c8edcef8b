"""Artifacts out of the store."""
