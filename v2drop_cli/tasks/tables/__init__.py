"""Questions in tables, as Hugging Face ``datasets`` keeps them: which column is what, and rows."""
