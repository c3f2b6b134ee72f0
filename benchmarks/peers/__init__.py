"""What we are measured beside, as somebody would use it."""
