"""What a shell may complete a command with."""
