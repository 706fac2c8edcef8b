"""Secrets: taken out of what is said and written down, looked for in what is stored."""
