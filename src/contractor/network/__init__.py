"""The only door out of a sandbox: an allow-listing, recording proxy, our own downloads, and their ledger."""
