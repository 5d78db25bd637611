"""Which column is which field: as typed, by its name, or a clear refusal."""

from __future__ import annotations

import pytest

from v2drop_cli.errors import UnknownNameError, UsageError
from v2drop_cli.tasks.tables.choosing import as_asked, asked_for, choose
from v2drop_cli.tasks.tables.column import Column

TEXTS = "list of text"


def columns(**kinds):
    return {name: Column(name, kind, kind) for name, kind in kinds.items()}


def chosen(*texts, **kinds):
    return as_asked(choose("t", columns(**kinds), asked_for(texts)))


USUAL = {"question": "text", "image": "file"}


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        ({"answers": TEXTS, "category": "label"}, {"answers": "answers", "group": "category"}),
        ({"Answer": "text", "id": "whole"}, {"answers": "Answer"}),
        ({"label": TEXTS, "group": "text"}, {"answers": "label", "group": "group"}),
        # A second name counts only where there is no first one.
        ({"answer": "text", "label": "text"}, {"answers": "answer"}),
        # A place among choices, by its type or its name; without choices a number is an answer.
        ({"options": TEXTS, "answer": "whole"}, {"choices": "options", "answer_index": "answer"}),
        ({"choices": TEXTS, "answer": "text"}, {"choices": "choices", "answers": "answer"}),
        ({"choices": TEXTS, "correct_choice_idx": "whole"},
         {"choices": "choices", "answer_index": "correct_choice_idx"}),
        ({"answer": "whole"}, {"answers": "answer"}),
        ({"correct_choice_idx": "whole"}, {}),
        # Lettered columns.
        ({"A": "text", "B": "text", "C": "text", "E": "text", "answer": "text"},
         {"choices": "A+B+C", "answers": "answer"}),
        ({"A": "text"}, {}),
        # What cannot be the field is not taken for it.
        ({"answers": "struct", "answer": "text"}, {"answers": "answer"}),
        ({"choices": "whole"}, {}),
    ],
)  # fmt: skip
def test_obvious_names_are_found(kinds, found):
    assert chosen(**USUAL, **kinds) == {"question": "question", "image": "image"} | found


def test_media_are_found_by_name():
    assert chosen(query="text", file_name="anything")["image"] == "file_name"
    assert chosen(prompt="text", images="list of file")["image"] == "images"
    assert chosen(question="text", video="file") == {"question": "question", "video": "video"}
    run = {f"image_{n}": "file" for n in (1, 2, 3, 5)}
    assert chosen(question="text", **run)["image"] == "image_1+image_2+image_3"


def test_what_is_typed_goes_before_names():
    kinds = {**USUAL, "text": "text", "answer": "text", "hint": "text", "label": TEXTS}
    assert chosen("question=text", **kinds)["question"] == "text"
    assert "answers" not in chosen("answers=", **kinds)
    assert chosen("answer=label", "question=hint+text", **kinds) == {
        "question": "hint+text", "image": "image", "answers": "label",
    }  # fmt: skip
    # What is typed for one field is not found by name for another.
    assert "answers" not in chosen("group=answer", **{**USUAL, "answer": "text"})
    # A whole number that is typed as an answer is one.
    many = {**USUAL, "choices": TEXTS, "answer": "whole"}
    assert chosen("answers=answer", **many)["answers"] == "answer"
    assert "answers" not in chosen("answer_index=answer", **many)
    assert chosen("video=clip", **USUAL, clip="bytes")["video"] == "clip"


def test_commas_and_signs_in_names_of_columns():
    assert asked_for(["question=a, b,image=x=y"]) == {"question": "a, b", "image": "x=y"}
    assert chosen("question=a+b", **{"a+b": "text", "image": "file"})["question"] == "a+b"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["question"], "names no column"),
        (["question=a,question=b"], "question twice"),
        (["image=a", "images=b"], "image twice"),
    ],
)
def test_what_cannot_be_read(texts, said):
    with pytest.raises(UsageError, match=said):
        asked_for(texts)


def test_unknown_fields_have_near_names():
    with pytest.raises(UnknownNameError) as caught:
        asked_for(["questoin=a"])
    assert "did you mean question?" in caught.value.hint


@pytest.mark.parametrize(
    ("texts", "kinds", "said"),
    [
        ([], {"image": "file"}, "no column that by its name is question; it has image (file)"),
        ([], {"question": "text"}, "is image or video"),
        ([], {"question": "whole", "image": "file"}, "is question"),
        ([], {**USUAL, "answer": "text", "answers": TEXTS}, "several columns that may be answers"),
        ([], {**USUAL, "Question": "text"}, "several columns that may be question"),
        ([], {**USUAL, "video": "file"}, "both: image=image and video=video"),
        (["image=image", "video=clip"], {**USUAL, "clip": "file"}, "both"),
        (["question=qestion"], USUAL, "no column 'qestion'"),
        (["question=image"], USUAL, "'image' holds file, which cannot be question"),
        (["answers=n"], {**USUAL, "n": "list of list of text"}, "cannot be answers"),
        (["choices=question+image"], USUAL, "'image' holds file, which cannot be choices"),
        (["choices=a+b"], {**USUAL, "a": TEXTS, "b": "text"}, "'a' holds list of text"),
        (["group=question+question"], USUAL, "cannot be group"),
        (["answer_index=n"], {**USUAL, "n": "whole"}, "the place of one of the choices"),
        (["answers=n", "answer_index=n"], {**USUAL, "n": "whole", "choices": TEXTS}, "names both"),
        ([], {}, "it has none"),
    ],
)  # fmt: skip
def test_a_doubt_or_a_wrong_column_is_one_clear_line(texts, kinds, said):
    with pytest.raises(UsageError) as caught:
        chosen(*texts, **kinds)
    assert said in caught.value.message
    assert caught.value.message.startswith(("t has", "t:", "--columns"))
    assert caught.value.hint


def test_of_very_many_columns_the_first_are_listed():
    with pytest.raises(UsageError) as caught:
        chosen(**{f"c{n}": "text" for n in range(23)})
    assert "c0 (text), c1 (text)" in caught.value.message
    assert caught.value.message.endswith("c19 (text), and 3 more")


def test_parts_of_structs_are_named_with_a_dot():
    text = Column("answers.answer", TEXTS, TEXTS, {}, keys=("answers", "answer"))
    answers = Column("answers", "list of struct", "a struct", {"answer": text})
    dotted = Column("a.b", "struct", "a struct", {"c.d": Column("a.b.c.d", "text", "text")})
    known = {**columns(**USUAL), "answers": answers, "a.b": dotted}
    asked = asked_for(["answers=answers.answer,group=a.b.c.d"])
    assert as_asked(choose("t", known, asked)) == {
        "question": "question", "image": "image", "answers": "answers.answer", "group": "a.b.c.d",
    }  # fmt: skip
    with pytest.raises(UsageError) as caught:
        choose("t", known, {"answers": "answers"})
    assert caught.value.hint == "its parts are answers.answer"
    with pytest.raises(UsageError, match=r"no column 'answers\.anwser'") as caught:
        choose("t", known, {"answers": "answers.anwser"})
    assert "answers.answer" in caught.value.hint
