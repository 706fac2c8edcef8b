"""What a build can prove: keys, signed provenance of what it made, and the audit journal of a store."""
