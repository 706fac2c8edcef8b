"""The target of one build: a writable tree on an image's layer, its commands, files and network."""
