"""Build again, compare everything, say what differs and why."""
