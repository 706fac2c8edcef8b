"""contractor doctor --attack: the attack table, run in this machine's real sandbox."""
