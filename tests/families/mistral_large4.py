from __future__ import annotations

from tests.families.case import extended
from tests.families.mistral3 import TEMPLATE, pixtral_processor
from v2drop_cli.prove.cases.mistral3 import MERGE
from v2drop_cli.prove.cases.mistral_large4 import CASE as BASE

CASE = extended(
    BASE,
    tokens={"image_token_id": "[IMG]"},
    processor=pixtral_processor(MERGE),
    specials=("[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]"),
    template=TEMPLATE,
)
