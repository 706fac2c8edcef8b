"""A client of any builder that speaks launchpad-buildd's protocol 1.0, ours or the original."""
