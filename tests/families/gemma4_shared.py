from __future__ import annotations

from tests.families.case import extended
from tests.families.gemma4 import WORDS, processor_of
from v2drop_cli.prove.cases.gemma4_shared import CASE as BASE

CASE = extended(BASE, processor=processor_of("Gemma4"), **WORDS)
