"""The settings: one file in which every setting has a default, compiled to ``core.rules.Policy``."""

from antiscrape.settings.load import load_policy

__all__ = ["load_policy"]
