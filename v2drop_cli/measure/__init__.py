"""Clocks, memory, statistics and trials. Knows no models: it measures what yields tokens."""
