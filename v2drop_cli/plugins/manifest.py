"""What an installed lmms-eval finds of this package: an entry point of ``lmms_eval.models``.

It looks at every such entry when it starts, so nothing heavy is imported here.
"""

from __future__ import annotations

from typing import Any

NAME = "v2drop"
CLASS = "v2drop_cli.plugins.lmms_eval.V2Drop"


def lmms_eval_manifest() -> Any:
    """That ``--model v2drop`` is the class in :mod:`v2drop_cli.plugins.lmms_eval`."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id=NAME, simple_class_path=CLASS)
