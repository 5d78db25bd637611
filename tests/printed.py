"""Every command and every piece of Python that the pages print.

A command is what a reader would type: in a fenced block (``sh``, ``console``, the ``run:`` steps of
``yaml``, the examples in the help texts), in an indented block, or as inline code; or a script that
a link names. A line of several commands counts as each of them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), ROOT / "sample_media/README.md")
Command = tuple[str, ...]

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What begins like one of these is a command, wherever it stands.
_PROGRAM = (
    r"(?:v2drop\s(?=[a-z]+\b|-)|python3?\s-m\s|pip\sinstall\s|pytest\s|torchrun\s|\.ci/(?=\w))"
)
_INLINE = re.compile(rf"`({_PROGRAM}[^`]*)`")
_LINKED = re.compile(r"\[(\.ci/\w+)\]")
_INDENTED = re.compile(rf"^ {{4}}({_PROGRAM}.*)$", re.MULTILINE)
_HELP_EXAMPLE = re.compile(r"^  (v2drop .*)$", re.MULTILINE)
_ENDS = {"&&", "&", ";", "|"}  # between the commands of one line
_INTO = re.compile(r"\s>>?\s*\S+")  # a file that takes the output


def commands(text: str) -> Iterator[Command]:
    """Every command of one page."""
    for kind, block in _FENCE.findall(text):
        for line in _lines(kind, block):
            yield from split(line)
    prose = _FENCE.sub("", text)
    for found in (*_INLINE.findall(prose), *_LINKED.findall(prose), *_INDENTED.findall(prose)):
        yield from split(" ".join(found.split()))


def python(text: str) -> list[str]:
    """Every piece of Python of one page."""
    return [block for kind, block in _FENCE.findall(text) if kind == "python"]


def kinds(text: str) -> set[str]:
    """The kinds of the fenced blocks of one page."""
    return {kind for kind, _ in _FENCE.findall(text)}


def split(line: str) -> Iterator[Command]:
    """The commands of one line.

    >>> list(split('pip install . && v2drop run --image "a b.png" & wait  # both'))
    [('pip', 'install', '.'), ('v2drop', 'run', '--image', 'a b.png'), ('wait',)]
    """
    words = shlex.shlex(_INTO.sub("", line), posix=True, punctuation_chars="&;|")
    words.whitespace_split = True
    begun: list[str] = []
    for word in (*words, ";"):
        if word not in _ENDS:
            begun.append(word)
        elif begun:
            yield tuple(begun)
            begun = []


def _lines(kind: str, block: str) -> list[str]:
    """Lines of a block that are commands, each a whole one."""
    block = block.replace("\\\n", " ")
    if kind == "sh":
        return block.splitlines()
    if kind == "console":
        return [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    if kind == "text":
        return _HELP_EXAMPLE.findall(block)
    if kind == "yaml":
        jobs = yaml.safe_load(block)["jobs"].values()
        return [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    return []
