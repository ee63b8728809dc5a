"""What runs in the visitor's browser, and its other half: the check's script, its challenge, its pages in many languages."""
