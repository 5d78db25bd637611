"""Which column of a table is which field of a question: as ``--columns`` says, else by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from v2drop_cli.errors import UsageError, unknown_name
from v2drop_cli.tasks.rows import LETTERS
from v2drop_cli.tasks.tables.column import (
    ANSWERS,
    CHOICES,
    FIELDS,
    GROUP,
    IMAGE,
    INDEX,
    MEDIA,
    QUESTION,
    VIDEO,
    WHOLE,
    Column,
    Taken,
    column_named,
    listed,
)

HINT = "--columns question=…,image=…,answers=… names the columns; docs/eval.md"
Asked = Mapping[str, str]
"""Fields and the names of their columns, as typed; an empty name leaves the field out."""
# Names that say what a column is; the second ones count where none of the first is there.
_OBVIOUS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    QUESTION: (("question",), ("query", "prompt", "instruction", "problem")),
    IMAGE: (
        ("image", "images"),
        ("picture", "pictures", "img", "image_path"),
        ("file_name", "file_names", "image_file_name", "image_file_names"),
    ),
    VIDEO: (("video",), ("video_path", "video_file_name")),
    ANSWERS: (("answers", "answer"), ("label", "labels", "ground_truth", "target")),
    INDEX: (("answer_index", "answer_idx", "correct_choice_idx"),),
    CHOICES: (("choices", "options"),),
    GROUP: (("group", "category"), ("question_type",)),
}
# Other names that ``--columns`` takes for a field.
_ALSO = {"images": IMAGE, "answer": ANSWERS}
# A comma begins another field only where a name and a sign follow: columns may have commas.
_BETWEEN = re.compile(r",(?=\s*\w+\s*=)")


def asked_for(texts: Iterable[str]) -> Asked:
    """What ``--columns`` says.

    Raises:
        UsageError: it cannot be read, or names a field twice.

    >>> asked_for(["question=query,choices=A+B", "group="])
    {'question': 'query', 'choices': 'A+B', 'group': ''}
    """
    found: dict[str, str] = {}
    for text in (one for texts_ in texts for one in _BETWEEN.split(texts_)):
        typed, sign, column = text.partition("=")
        typed = typed.strip()
        if not sign:
            raise UsageError(f"--columns: {text!r} names no column", hint=HINT)
        name = _ALSO.get(typed, typed)
        if name not in FIELDS:
            raise unknown_name("field of a question", typed, FIELDS)
        if name in found:
            raise UsageError(f"--columns names {name} twice", hint=HINT)
        found[name] = column.strip()
    return found


def choose(table: str, columns: Mapping[str, Column], asked: Asked) -> Taken:
    """The columns of ``table`` for each field; those that nobody named are found by name.

    Raises:
        UsageError: a column is not there, or holds something else; or names leave a doubt.
    """
    typed = {name: _typed(table, name, text, columns) for name, text in asked.items()}
    taken = {name: found for name, found in typed.items() if found}
    used = {one.name for found in taken.values() for one in found}
    free = {name: one for name, one in columns.items() if name not in used}
    for name in FIELDS:
        if name not in typed and not _settled(name, typed):
            found = _obvious(table, name, free)
            taken |= {name: found} if found else {}
    if ANSWERS not in typed and INDEX not in typed:
        taken = _with_places(taken)
    _check(table, columns, taken)
    return {name: taken[name] for name in FIELDS if name in taken}


def _settled(name: str, typed: Mapping[str, Sequence[Column]]) -> bool:
    """Whether a field that was named makes ``name`` needless."""
    rivals = MEDIA if name in MEDIA else (ANSWERS, INDEX) if name in (ANSWERS, INDEX) else ()
    return any(typed.get(one) for one in rivals)


def _with_places(taken: Taken) -> dict[str, tuple[Column, ...]]:
    """A whole number beside choices is the place of one: that is how ``datasets`` has it."""
    found = dict(taken)
    if CHOICES not in found or (ANSWERS in found and found[ANSWERS][0].kind != WHOLE):
        found.pop(INDEX, None)
    elif ANSWERS in found:
        found[INDEX] = found.pop(ANSWERS)
    return found


def _check(table: str, columns: Mapping[str, Column], taken: Taken) -> None:
    """Refuse what is no question."""
    media = [f"{name}={taken[name][0].name}" for name in MEDIA if name in taken]
    if len(media) > 1:
        raise UsageError(
            f"{table} has columns for both: {' and '.join(media)}",
            hint=f"--columns {media[0]}, or --columns {media[1]}",
        )
    wanted = QUESTION if QUESTION not in taken else None if media else f"{IMAGE} or {VIDEO}"
    if wanted is not None:
        raise UsageError(
            f"{table} has no column that by its name is {wanted}; it has "
            f"{listed(columns.values()) or 'none'}",
            hint=HINT,
        )
    if INDEX in taken and CHOICES not in taken:
        raise UsageError(f"{table}: {INDEX} is the place of one of the choices", hint=HINT)
    if INDEX in taken and ANSWERS in taken:
        raise UsageError(f"--columns names both {ANSWERS} and {INDEX}", hint="one of them")


def as_asked(taken: Taken) -> Asked:
    """Which columns were taken, as ``--columns`` would name them.

    >>> as_asked({"choices": (Column("A", "text", "string"), Column("B", "text", "string"))})
    {'choices': 'A+B'}
    """
    return {name: "+".join(one.name for one in found) for name, found in taken.items()}


def passed_over(columns: Mapping[str, Column], taken: Taken) -> list[Column]:
    """Columns with the name of a field that none was taken for, since they hold something else."""
    wanted = [(name, _OBVIOUS[name][0]) for name in FIELDS if name not in taken]
    return [
        one
        for one in columns.values()
        if any(one.name.casefold() in names and not one.fits(name) for name, names in wanted)
    ]


def _typed(table: str, name: str, text: str, columns: Mapping[str, Column]) -> tuple[Column, ...]:
    if not text:
        return ()
    names = [text] if text in columns else text.split("+")
    found = tuple(column_named(table, one.strip(), columns) for one in names)
    for column in found:
        fits = column.fits(name) if len(found) == 1 else column.fits_beside_others(name)
        if not fits:
            parts = [f"{column.name}.{part}" for part in column.parts]
            hint = f"its parts are {', '.join(parts)}" if parts else HINT
            raise UsageError(
                f"{table}: column {column.name!r} holds {column.holds[:100]}, which cannot be "
                f"{name}",
                hint=hint,
            )
    return found


def _obvious(table: str, name: str, columns: Mapping[str, Column]) -> tuple[Column, ...]:
    """The column that by its name is the field, if there is one."""
    for names in _OBVIOUS[name]:
        found = [one for one in columns.values() if one.name.casefold() in names and one.fits(name)]
        if len(found) > 1:
            raise UsageError(
                f"{table} has several columns that may be {name}: {listed(found)}",
                hint=f"--columns {name}={found[0].name}, or another",
            )
        if found:
            return (found[0],)
    series = {IMAGE: [f"image_{n}" for n in range(1, 65)], CHOICES: list(LETTERS)}
    run = _run(series.get(name, []), columns)
    return run if len(run) > 1 and all(one.fits_beside_others(name) for one in run) else ()


def _run(names: Sequence[str], columns: Mapping[str, Column]) -> tuple[Column, ...]:
    """Columns called by ``names`` from the first on, as far as there are: A, B, C."""
    found = []
    for name in names:
        if name not in columns:
            break
        found.append(columns[name])
    return tuple(found)
