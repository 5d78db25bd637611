"""Generations of a fixed number of tokens, for timing."""
