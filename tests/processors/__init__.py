"""Real processors on real files, each in a process of its own, in which torchvision works."""

from pathlib import Path

# Where `pip install --target` put torchvision for these processes; see `test_processors.py`.
FOLDER = Path(__file__).parents[2] / ".torchvision"
