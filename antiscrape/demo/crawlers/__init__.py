"""Harvesters that run as programs of their own: each knows the site only through HTTP."""
