"""A row of a table as the fields of a question."""

from __future__ import annotations

import pytest

from v2drop_cli.errors import UsageError
from v2drop_cli.tasks.tables.column import Column
from v2drop_cli.tasks.tables.values import fields_of, media_of


def row_of(taken, **values):
    taken = {
        name: tuple(Column(one, "anything", "") for one in found.split("+"))
        for name, found in ({"question": "q"} | taken).items()
    }
    return fields_of("t, row 7", {"q": "which?"} | values, taken).row(7, None)


ANSWER = {"answers": "a"}
CHOICE = {"choices": "c", "answer_index": "i"}
PETS = ["cat", "dog", "2"]


@pytest.mark.parametrize(
    ("value", "answers"),
    [
        ("red", ("red",)), (["red", None, 2.5], ("red", "2.5")), (3, ("3",)),
        (None, ()), ([], ()), ([None], ()),
    ],
)  # fmt: skip
def test_answers(value, answers):
    assert row_of(ANSWER, a=value).answers == answers


@pytest.mark.parametrize("place", [1, 1.0, "1", " 1"])
def test_a_place_counts_from_0(place):
    assert row_of(CHOICE, c=PETS, i=place).answers == ("B",)


def test_a_place_is_no_answer_in_words():
    """`2` is a choice of its own, and 2 the place of it; 0 is no missing answer."""
    assert row_of(CHOICE, c=["2", "1", "0"], i=2).answers == ("C",)
    assert row_of({"choices": "c", "answers": "a"}, c=["2", "1", "0"], a="2").answers == ("A",)
    assert row_of(CHOICE, c=PETS, i=0).answers == ("A",)
    assert row_of(CHOICE, c=PETS, i=None).answers == ()


@pytest.mark.parametrize("place", [3, -1, 0.5, "x", True, [1], "99999999999", float("nan"), "²"])
def test_a_place_of_nothing(place):
    with pytest.raises(UsageError, match=r"^t, row 7: answer_index .* none of the choices"):
        row_of(CHOICE, c=PETS, i=place)


def test_a_place_needs_choices():
    with pytest.raises(UsageError, match="answer_index 0"):
        row_of(CHOICE, c=None, i=0)


@pytest.mark.parametrize(
    ("text", "choices"),
    [("['cat', \"dog's\"]", ("cat", "dog's")), ('["cat", 3]', ("cat", "3"))],
)
def test_a_list_may_be_a_text_of_one(text, choices):
    assert row_of({"choices": "c"}, c=text).choices == choices


@pytest.mark.parametrize(
    "text", ["cat", "[cat", "[" * 5000, "['a']", "[['a'], ['b']]", "['a'] * 9"]
)
def test_a_text_that_is_no_list_is_refused(text):
    with pytest.raises(UsageError, match="choices"):
        row_of({"choices": "c"}, c=text)


def test_several_columns_are_one_field():
    choices = {"choices": "a+b+c", "answers": "x"}
    row = row_of(choices, a="cat", b="dog", c=None, x="B")
    assert (row.choices, row.answers) == (("cat", "dog"), ("B",))
    with pytest.raises(UsageError, match="no choices"):  # letters would be other ones
        row_of(choices, a="cat", b=None, c="dog", x="C")
    assert row_of(choices, a=None, b=None, c=None, x="red").choices == ()
    assert row_of({"question": "h+q"}, h=None).asked == "which?"
    assert row_of({"question": "h+q"}, h="Look.").asked == "Look.\nwhich?"
    assert row_of({"answers": "x+y"}, x="red", y=None).answers == ("red",)


def test_media_of_one_column_or_several():
    one, two = Column("a", "anything", ""), Column("b", "anything", "")
    assert media_of({"a": "0.png"}, [one]) == "0.png"
    assert media_of({"a": None, "b": "1.png"}, [one, two]) == ["1.png"]


def test_what_no_column_can_have_names_the_row():
    def no_name(value):
        raise ValueError("7 is none of the 2 names of its ClassLabel")

    label = Column("label", "label", "", plain=no_name)
    question = Column("q", "text", "")
    with pytest.raises(UsageError) as caught:
        fields_of(
            "t, row 7", {"q": "a", "label": 7}, {"question": (question,), "answers": (label,)}
        )
    assert caught.value.message.startswith("t, row 7: label: 7 is none")
    part = Column("a.b", "anything", "", keys=("a", "b"))
    with pytest.raises(UsageError, match=r"a\.b: b is no part of 'text'"):
        fields_of("t", {"q": "a", "a": "text"}, {"question": (question,), "answers": (part,)})
