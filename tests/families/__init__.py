"""Tiny random-weight models of every family, for exact tests, with their processors.

The models are the package's own, see `v2drop_cli.prove.cases`; here is what only tests need.
"""

from __future__ import annotations

import importlib

import transformers

from tests.families.case import Tested
from v2drop_cli.models.refused import LAST_SOUND
from v2drop_cli.models.releases import release
from v2drop_cli.prove.cases import NAMES as REGISTERED
from v2drop_cli.prove.cases import SINCE
from v2drop_cli.prove.cases import VARIANTS as REGISTERED_VARIANTS

__all__ = ["ABSENT", "CASES", "FIRST", "NAMES", "VARIANTS"]

# Families whose models this transformers does not have, or not in working order.
HERE = release(transformers.__version__)
ABSENT = frozenset(
    [name for name, since in SINCE.items() if release(since) > HERE]
    + [name for name, until in LAST_SOUND.items() if release(until) < HERE]
)
NAMES = tuple(name for name in REGISTERED if name not in ABSENT)
# What is alike in all families is tried in every way in these, and in one way in the others.
FIRST = NAMES[:16]
VARIANTS = {name: of for name, of in REGISTERED_VARIANTS.items() if name not in ABSENT}
CASES: dict[str, Tested] = {
    name: importlib.import_module(f"tests.families.{name}").CASE for name in (*NAMES, *VARIANTS)
}
