"""contractor buildd: be a builder, or use one."""
