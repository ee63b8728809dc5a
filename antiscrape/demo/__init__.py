"""The demo: a photo site, a person who looks at it, and harvesters who take what they can."""
