"""A pytest plugin: this process checks its share of the families, another process the others."""

from __future__ import annotations

from tests.families import CASES


def pytest_addoption(parser):
    parser.addoption("--share", help="this process's number and how many there are: 0/2")


def pytest_collection_modifyitems(config, items):
    number, _, of = config.getoption("share").partition("/")
    names = list(CASES)

    def mine(item):
        """By the family that it is parametrised with; what has none goes to the first process."""
        name = item.callspec.params.get("name") if hasattr(item, "callspec") else None
        return (names.index(name) if name in names else 0) % int(of) == int(number)

    config.hook.pytest_deselected(items=[item for item in items if not mine(item)])
    items[:] = [item for item in items if mine(item)]
