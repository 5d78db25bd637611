"""The instrument: how vision tokens are removed, once, for every method and family."""
