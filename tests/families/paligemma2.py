from __future__ import annotations

from tests.families import paligemma
from tests.families.case import extended
from v2drop_cli.prove.cases.paligemma2 import CASE as BASE

CASE = extended(
    BASE,
    tokens=paligemma.CASE.tokens,
    processor=paligemma.processor,
    attention=("eager",),  # sdpa cannot cap the products of queries and keys
)
