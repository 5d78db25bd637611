"""MiniCPM-V 4.7: tokens and layers as in 4.6, positions on a canvas of three axes."""

from __future__ import annotations

import dataclasses

from v2drop_cli.models.families.minicpmv4_6 import MINICPMV4_6

MINICPMV4_7 = dataclasses.replace(MINICPMV4_6, name="minicpmv4_7", model_types=("minicpmv4_7",))
