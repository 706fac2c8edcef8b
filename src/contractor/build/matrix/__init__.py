"""Several builds of one specification at the same time."""
