"""Fitting methods that are learned."""
