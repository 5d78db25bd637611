"""How a report reads: terminal, JSON. Sees records, never models."""
