"""Methods of other packages: entry points of the group ``v2drop.methods``.

A package says in its ``pyproject.toml`` what its methods are called and where they are:

    [project.entry-points."v2drop.methods"]
    nearest = "my_package.nearest:Nearest"

The names are read from what is installed; a module is imported once its method is asked for.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from v2drop_cli.errors import PlugInError

if TYPE_CHECKING:
    from v2drop_cli.methods.base import Method

GROUP = "v2drop.methods"


def plug_in_names() -> list[str]:
    """What other packages call their methods, each once."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def plug_in(name: str) -> type[Method] | None:
    """The class of another package's method called ``name``; ``None`` if there is none.

    Raises:
        PlugInError: two packages have a method of that name, or it cannot be imported, or it is
            no method of that name.
    """
    # One package found twice on the path is one package, so its entry is one, too.
    points = {
        (_package(point), point.value): point for point in entry_points(group=GROUP, name=name)
    }
    if not points:
        return None
    if len(points) > 1:
        packages = " and ".join(sorted(package for package, _ in points))
        raise PlugInError(
            f"{packages} both bring a method {name!r}", hint="uninstall one of the packages"
        )
    [point] = points.values()
    return _loaded(point)


def _loaded(point: EntryPoint) -> type[Method]:
    from v2drop_cli.methods.base import Method

    where = f"the method {point.name!r} of {_package(point)} ({point.value})"
    hint = f"update or uninstall {_package(point)}"
    try:
        found = point.load()
    except Exception as error:  # whatever another package's module raises when it is imported
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PlugInError(f"{where} cannot be imported: {reason}", hint=hint) from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise PlugInError(f"{where} is no subclass of v2drop_cli.methods.base.Method", hint=hint)
    if getattr(found, "name", None) != point.name:
        other = getattr(found, "name", None)
        raise PlugInError(f"{where} calls itself {other!r}", hint=hint)
    return found


def _package(point: EntryPoint) -> str:
    return "a package without a name" if point.dist is None else str(point.dist.name)
