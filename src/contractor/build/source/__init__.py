"""Sources: folders, commits and downloads, each by its digest."""
