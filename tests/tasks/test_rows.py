"""Rows of data: what is asked, and finding some of them again."""

from __future__ import annotations

from v2drop_cli.errors import UsageError
from v2drop_cli.tasks.rows import Row, questions_of


class Counted:
    """Data that count how many rows were read, and may end in an error."""

    def __init__(self, count, gone=None):
        self.count, self.gone, self.read = count, gone, 0

    def rows(self):
        for number in range(self.count):
            if number == self.gone:
                raise UsageError("gone")
            self.read += 1
            yield Row(number, f"question {number}", (), lambda frames: ())


def test_rows_are_found_by_number_and_no_more_is_read():
    data = Counted(100)
    found = questions_of(data, [4, 1])
    assert {number: row.asked for number, row in found.items()} == {
        1: "question 1",
        4: "question 4",
    }
    assert data.read == 5


def test_nothing_is_read_for_nothing():
    data = Counted(100)
    assert questions_of(data, []) == {}
    assert data.read == 0


def test_what_is_not_there_any_more_is_left_out():
    assert set(questions_of(Counted(3), [1, 7])) == {1}
    assert set(questions_of(Counted(9, gone=5), [1, 7])) == {1}


def test_choices_are_listed_by_letter():
    row = Row(0, "which?", ("a",), lambda frames: (), ("a", "b"))
    assert row.prompt.splitlines()[:3] == ["which?", "A. a", "B. b"]
