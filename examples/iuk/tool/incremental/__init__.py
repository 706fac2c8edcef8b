"""Incremental upgrade kits, format 2: what they hold, how they are made, and what applying one gives."""
