"""After a build: its steps again, a shell in one, and waiting for the next change."""
