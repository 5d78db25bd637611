from __future__ import annotations

from tests.families.case import extended
from tests.families.glm4v import TEMPLATE, TOKENS, processor
from v2drop_cli.prove.cases.glm4v_moe import CASE as BASE

CASE = extended(BASE, tokens=TOKENS, processor=processor, template=TEMPLATE)
