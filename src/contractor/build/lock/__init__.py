"""Locks: what a specification gets, written down; and builds that are held to it."""
