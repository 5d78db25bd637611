"""torchvision beside a CPU build of torch: a pytest plugin, for a process of its own.

Importing this module changes the process, so nothing else may import it: `FOLDER` then stays on
`sys.path`, and what is installed there is found by tests that need it to be absent.

torchvision's wheels hold kernels for CUDA builds of torch only; importing one beside a CPU build
fails, because `_meta_registrations` describes operators that were never loaded. With those
operators declared (as empty schemas, never called) its transforms, which are plain Python, work.
transformers needs them for the processors of most families.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch

from tests.processors import FOLDER


def declare_operators(package: Path) -> torch.library.Library:
    """An empty schema for every operator that `_meta_registrations.py` describes."""
    source = (package / "_meta_registrations.py").read_text(encoding="utf-8")
    names = re.findall(r'@register_meta\("(\w+)"\)', source)
    names += re.findall(r'register_fake\("torchvision::(\w+)"\)', source)
    library = torch.library.Library("torchvision", "DEF")
    for name in dict.fromkeys(names):
        library.define(f"{name}() -> ()")
    return library


def install() -> torch.library.Library | None:
    """Make `import torchvision` work, from FOLDER unless it is installed and works."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        pass
    else:
        return None
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    sys.path.insert(0, str(FOLDER))
    return declare_operators(FOLDER / "torchvision")


_LIBRARY = install() if (FOLDER / "torchvision").is_dir() else None
