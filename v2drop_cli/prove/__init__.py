"""Proof that dropping is right on this machine: tiny models against a masked oracle."""
