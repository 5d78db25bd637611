from __future__ import annotations

from tests.families.case import extended
from tests.families.glm4v import TEMPLATE, TOKENS
from tests.families.glm46v import processor
from v2drop_cli.prove.cases.glm_ocr import CASE as BASE

CASE = extended(BASE, tokens=TOKENS, processor=processor, template=TEMPLATE)
