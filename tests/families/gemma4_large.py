from __future__ import annotations

from tests.families.case import extended
from tests.families.gemma4 import NAMED, TEMPLATE, TOKENS, processor
from v2drop_cli.prove.cases.gemma4_large import CASE as BASE

CASE = extended(
    BASE,
    tokens=TOKENS,
    named_tokens=NAMED,
    specials=("<|audio>", "<audio|>", "<|turn>", "<turn|>"),
    processor=processor,
    template=TEMPLATE,
)
