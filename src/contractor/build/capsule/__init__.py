"""Capsules: a specification, its lock and every input in one file."""
