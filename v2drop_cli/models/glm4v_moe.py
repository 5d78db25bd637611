"""GLM-4.5V, which has experts: tokens and positions as in GLM-4.1V (arXiv 2507.01006).

The same tokens are droppable. The router sees one token at a time and experts have no capacity
to run out of, so a token's output does not depend on how many others are left.
"""

from __future__ import annotations

import dataclasses

from v2drop_cli.models.glm4v import GLM4V

GLM4V_MOE = dataclasses.replace(GLM4V, name="glm4v_moe", model_types=("glm4v_moe",))
