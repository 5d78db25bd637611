from __future__ import annotations

from tests.families.case import extended
from tests.families.qwen2_vl import TEMPLATE, TOKENS
from tests.families.qwen3_vl import processor
from v2drop_cli.prove.cases.qwen4_exp import CASE as BASE

CASE = extended(BASE, tokens=TOKENS, processor=processor, template=TEMPLATE)
