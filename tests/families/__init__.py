"""Tiny random-weight models of every family, for exact tests, with their processors.

The models are the package's own, see `v2drop_cli.prove.cases`; here is what only tests need.
"""

from __future__ import annotations

import importlib

from tests.families.case import Tested
from v2drop_cli.prove.cases import NAMES, VARIANTS

__all__ = ["CASES", "NAMES", "VARIANTS"]

CASES: dict[str, Tested] = {
    name: importlib.import_module(f"tests.families.{name}").CASE for name in (*NAMES, *VARIANTS)
}
