"""What is written down: one event for every verdict that is not a plain allow."""
