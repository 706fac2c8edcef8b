"""What runs inside the supervisor: see operations.py for the list."""
