"""Finding, following and showing parts of logs."""
