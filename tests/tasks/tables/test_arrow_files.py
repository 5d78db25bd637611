"""Parquet and Arrow files: what their columns hold, row by row, and never much at once."""

from __future__ import annotations

import decimal
import json
import os

import pyarrow as pa
import pytest

from tests.tasks.tables.table_files import STORED, stored, table, write_arrow, write_parquet
from v2drop_cli.errors import MissingPackageError, UsageError
from v2drop_cli.tasks.tables import arrow_files
from v2drop_cli.tasks.tables.arrow_files import ROWS, ArrowFile

LABEL = {"names": ["no", "yes"], "_type": "ClassLabel"}
WRITERS = {
    "parquet": write_parquet,
    "stream": write_arrow,
    "file": lambda path, made, rows=100: write_arrow(path, made, rows, file=True),
}


@pytest.fixture(params=WRITERS)
def opened(request, tmp_path):
    """Opens a table that was written in each form."""

    def write(made, rows=100):
        suffix = "parquet" if request.param == "parquet" else "arrow"
        return ArrowFile("t", WRITERS[request.param](tmp_path / f"t.{suffix}", made, rows))

    return write


def values(file, name):
    column = file.columns()[name]
    return [column.of(row) for row in file.rows([column.top])]


def test_rows_come_in_order_with_the_columns_that_are_wanted(opened):
    count = 3 * ROWS + 1
    file = opened(table(a=list(range(count)), b=["x"] * count), rows=20)
    assert list(file.rows(["a"])) == [{"a": number} for number in range(count)]
    assert list(file.columns()) == ["a", "b"]


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (pa.array(["a"]), "text"),
        (pa.array(["a"], pa.large_string()), "text"),
        (pa.array(["a"]).dictionary_encode(), "text"),
        (pa.array([["a"]], pa.large_list(pa.string())), "list of text"),
        (pa.array([1], pa.uint8()), "whole"),
        (pa.array([[1]]), "list of whole"),
        (pa.array([1.5]), "number"),
        (pa.array([decimal.Decimal("1.50")]), "number"),
        (pa.array([b"a"]), "bytes"),
        (pa.array([b"a"], pa.large_binary()), "bytes"),
        (stored(1), "file"),
        (pa.array([[None]], pa.list_(STORED)), "list of file"),
        (pa.array([{"a": 1}]), "struct"),
        (pa.array([[{"a": 1}]]), "list of struct"),
        (pa.array([None]), "nothing"),
        (pa.array([True]), "other"),
        (pa.array([[["a"]]]), "list of other"),
        (pa.array([0], pa.timestamp("ns")), "other"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_a_column_holds(tmp_path, array, kind):
    file = ArrowFile("t", write_arrow(tmp_path / "t.arrow", table(a=array)))
    assert file.columns()["a"].kind == kind


def test_labels_are_their_names(opened):
    features = {"a": LABEL, "b": {"feature": LABEL, "_type": "List"}, "c": [LABEL]}
    made = table(features, a=[1, 0, -1, None], b=[[0, 1], [], [-1], None], c=[[1]] * 4)
    file = opened(made)
    kinds = {name: column.kind for name, column in file.columns().items()}
    assert kinds == {"a": "label", "b": "list of label", "c": "list of label"}
    assert values(file, "a") == ["yes", "no", None, None]
    assert values(file, "b") == [["no", "yes"], [], [None], None]
    with pytest.raises(ValueError, match="2 is none of the 2 names"):
        file.columns()["a"].of({"a": 2})


def test_numbers_have_the_digits_that_they_were_given(opened):
    made = table(
        a=pa.array([0.1], pa.float32()),
        b=pa.array([[2.7]], pa.list_(pa.float32())),
        c=pa.array([decimal.Decimal("1.50")]),
        d=[0.1],
        e=["a"],
    )
    file = opened(made)
    found = [values(file, name)[0] for name in "abcd"]
    assert found == [0.1, [2.7], "1.50", 0.1]


def test_parts_of_structs_and_of_lists_of_them(opened):
    features = {
        "people": [{"answer": {"dtype": "string", "_type": "Value"}, "sure": LABEL}],
        "by_name": {"feature": {"text": {"_type": "Value"}, "sure": LABEL}, "_type": "Sequence"},
    }
    people = [[{"answer": "a", "sure": 1}, {"answer": "b", "sure": 0}]]
    made = table(features, people=people, by_name=[{"text": ["a", "b"], "sure": [0, 1]}])
    file = opened(made)
    parts = {**file.columns()["people"].parts, **file.columns()["by_name"].parts}
    assert parts["text"].kind == "list of text"
    people = file.columns()["people"].parts
    assert {name: part.kind for name, part in people.items()} == {
        "answer": "list of text", "sure": "list of label",
    }  # fmt: skip
    [row] = file.rows(["people", "by_name"])
    assert people["answer"].of(row) == ["a", "b"]
    assert people["sure"].of(row) == ["yes", "no"]
    assert parts["sure"].of(row) == ["no", "yes"]
    assert people["answer"].name == "people.answer"


def test_a_column_twice_is_none(tmp_path):
    made = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    [column] = ArrowFile("t", write_arrow(tmp_path / "t.arrow", made)).columns().values()
    assert (column.kind, column.holds) == ("other", "two columns of one name")


def test_few_rows_are_held_however_many_there_are(opened):
    """Of 400 pictures in row groups of 10, never a quarter."""
    size, count = 25_000, 400
    made = table(n=list(range(count)), a=[os.urandom(size) for _ in range(count)])
    file = opened(made, rows=10)
    del made
    pool, before = pa.proxy_memory_pool(pa.system_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        lengths = [len(row["a"]) for row in file.rows(["a", "n"])]
    finally:
        pa.set_memory_pool(before)
    assert lengths == [size] * count
    assert pool.max_memory() < size * count / 4


def whole(file):
    file.columns()
    return list(file.rows(["question", "image"]))


@pytest.mark.parametrize("form", WRITERS)
def test_a_torn_file_is_one_line_wherever_it_is_torn(tmp_path, form):
    made = table(question=["what?"] * 40, image=stored(*range(40)))
    path = WRITERS[form](tmp_path / f"t.{'parquet' if form == 'parquet' else 'arrow'}", made, 10)
    data = path.read_bytes()
    for keep in (0, 1, 8, 60, len(data) // 2):
        path.write_bytes(data[:keep])
        with pytest.raises(UsageError, match=r"^t cannot be read: .") as caught:
            whole(ArrowFile("t", path))
        assert "\n" not in caught.value.message


def test_what_datasets_says_may_be_torn_too(tmp_path):
    for told in (b"{", b"[]", json.dumps({"info": {"features": []}}).encode()):
        made = table(a=[1]).replace_schema_metadata({"huggingface": told})
        file = ArrowFile("t", write_arrow(tmp_path / "t.arrow", made))
        if told == b"{":
            with pytest.raises(UsageError, match="t cannot be read"):
                file.columns()
        else:
            assert file.columns()["a"].kind == "whole"


def test_text_that_is_none_is_told(tmp_path):
    broken = pa.array([b"\xff\xfe"]).view(pa.string())
    file = ArrowFile("t", write_arrow(tmp_path / "t.arrow", table(a=broken)))
    with pytest.raises(UsageError, match="t cannot be read"):
        list(file.rows(["a"]))


def test_without_pyarrow_the_way_forward_is_told(tmp_path, monkeypatch):
    def missing(module):
        raise ModuleNotFoundError(module)

    monkeypatch.setattr(arrow_files.importlib, "import_module", missing)
    with pytest.raises(MissingPackageError, match="t is read by pyarrow, which is not") as caught:
        ArrowFile("t", tmp_path / "t.parquet")
    assert caught.value.hint == "pip install pyarrow"
