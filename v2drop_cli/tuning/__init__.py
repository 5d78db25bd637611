"""Searching where to drop and how much, for one model and one set of questions."""
