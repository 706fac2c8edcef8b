"""Contractor builds software in sealed, reproducible sandboxes."""

__version__ = "0.1.0"
