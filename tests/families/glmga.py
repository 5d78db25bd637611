from __future__ import annotations

from functools import partial

from tests.families.case import extended
from tests.families.glm4v import TEMPLATE, TOKENS
from tests.families.glm46v import processor
from v2drop_cli.prove.cases.glmga import CASE as BASE

CASE = extended(
    BASE,
    tokens=TOKENS,
    processor=partial(processor, images="GlmgaImageProcessor", videos="GlmgaVideoProcessor"),
    template=TEMPLATE,
)
