"""Two builds beside each other: what differs, and why a step ran."""
