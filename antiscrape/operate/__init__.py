"""What operators ask of a running site: metrics, explanations."""
