from __future__ import annotations

from tests.families.case import extended
from tests.families.llava import processor
from v2drop_cli.models.families.vipllava import CHAT_TEMPLATE
from v2drop_cli.prove.cases.vipllava import CASE as BASE

CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    template=CHAT_TEMPLATE,
)
