"""This package's models in other people's harnesses: see ``docs/lmms-eval.md``."""
