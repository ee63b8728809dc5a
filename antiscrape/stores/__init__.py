"""Where principals are remembered."""
