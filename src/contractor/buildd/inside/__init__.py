"""What the supervisor does for targets, and for the images that they make."""
