"""Training and measurement code that is not part of the installed package."""
