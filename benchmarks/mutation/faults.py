"""The faults that cosmic-ray's operators make of one module's source."""

from __future__ import annotations

import ast
import random
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

SEED = 0
# cosmic-ray puts each of eleven operators in an operator's place; these many say as much.
_AT_ONE_PLACE = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault can be made: the operator, how often it was met before, and the node."""

    operator: str
    occurrence: int
    node: Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One changed module.

    Attributes:
        operator: the cosmic-ray operator that made the change.
        where: function or class that it is in; empty at the top of the module.
        before: the changed lines, as they were.
        after: the same lines, changed.
        source: the whole changed module.
    """

    operator: str
    where: str
    before: str
    after: str
    source: str


def places(source: str) -> list[Place]:
    """Every change to make: a few of one family at one place, and none that is never run."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(ast_nodes(get_ast(source)))
    silent = list(_silent(source))
    families: dict[tuple[str, Any], list[Place]] = {}
    for name in operator_names():
        kind = get_operator(name)
        if kind.arguments():  # these need names of variables
            continue
        operator = kind()
        found = [node for node in nodes for _ in operator.mutation_positions(node)]
        for occurrence, node in enumerate(found):
            if not any(first <= node.start_pos < last for first, last in silent):
                # ReplaceBinaryOperator_Add_Sub is of the family ReplaceBinaryOperator.
                family = (name.split("_")[0], node.start_pos)
                families.setdefault(family, []).append(Place(name, occurrence, node))
    draw = random.Random(SEED)
    return [
        place
        for alike in families.values()
        for place in draw.sample(alike, min(len(alike), _AT_ONE_PLACE))
    ]


def faults(source: str, chosen: Iterable[Place]) -> Iterator[Fault]:
    """The changed sources; a change that does not compile is none."""
    from cosmic_ray.ast.ast_query import ASTQuery
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    for place in chosen:
        changed = mutate_code(source, get_operator(place.operator)(), place.occurrence)
        if changed is None or not _compiles(changed):
            continue
        before, after = changed_lines(source, changed)
        where = ASTQuery(place.node).get_definition_name() or ""
        yield Fault(place.operator.split("/")[-1], where, before, after, changed)


def _compiles(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "changed", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def _silent(source: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where only type checkers read: annotations, overloads, imports."""
    lines = source.encode().splitlines()
    for node in ast.walk(ast.parse(source)):
        for part in _read_by_type_checkers(node):
            first = part.lineno, len(lines[part.lineno - 1][: part.col_offset].decode())
            end, column = part.end_lineno or 0, part.end_col_offset or 0
            yield first, (end, len(lines[end - 1][:column].decode()))


def _read_by_type_checkers(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    if isinstance(node, ast.FunctionDef):
        last = node.body[-1]
        if isinstance(last, ast.Expr) and getattr(last.value, "value", None) is ...:
            yield node
        if node.returns:
            yield node.returns
    elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
        yield node.annotation
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        yield node


def changed_lines(before: str, after: str) -> tuple[str, str]:
    """The lines that differ, each side joined by spaces."""
    old, new = before.splitlines(), after.splitlines()
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    sides = (old[head : len(old) - tail], new[head : len(new) - tail])
    first, second = (" ".join(" ".join(lines).split()) for lines in sides)
    return first, second
