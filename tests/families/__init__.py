"""Tiny random-weight models of every family: see `v2drop_cli.prove.cases`."""

from v2drop_cli.prove.cases import CASES, NAMES, VARIANTS

__all__ = ["CASES", "NAMES", "VARIANTS"]
