"""GLM-OCR: GLM-4.6V's tokens, times and positions, around a decoder of its own.

The same tokens are droppable: every ``<|image|>``, also those of frames, 28 x 28 pixels each.
"""

from __future__ import annotations

import dataclasses

from v2drop_cli.models.families.glm4v import GLM4V
from v2drop_cli.models.families.glm46v import synthetic

GLM_OCR = dataclasses.replace(GLM4V, name="glm_ocr", model_types=("glm_ocr",), synthetic=synthetic)
