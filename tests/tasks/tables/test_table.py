"""Whole tables as data: rows, digests, and what is read when."""

from __future__ import annotations

import csv
import json
import pickle

import pyarrow as pa
import pytest

from tests.tasks.questions_file import write_pictures
from tests.tasks.tables.table_files import (
    png,
    questions,
    save_to_disk,
    stored,
    table,
    write_arrow,
    write_parquet,
)
from v2drop_cli.errors import MediaError, UsageError
from v2drop_cli.tasks.sources import open_data
from v2drop_cli.tasks.tables.arrow_files import ArrowFile


def shade(row):
    return row.show(8)[0].frames[0].getpixel((0, 0))[0]


def test_a_parquet_file_as_the_hub_has_one(tmp_path):
    features = {"category": {"names": ["pets", "birds"], "_type": "ClassLabel"}}
    made = table(
        features,
        id=[1, 2],
        question=["which?", "what?"],
        image=stored(7, 9),
        options=[["cat", "dog"], ["owl", "jay"]],
        answer=[1, 0],
        category=[0, 1],
    )
    data = open_data(str(write_parquet(tmp_path / "a.parquet", made)))
    one, two = data.rows()
    assert (one.number, one.asked, one.choices, one.answers) == (
        0,
        "which?",
        ("cat", "dog"),
        ("B",),
    )
    assert (two.number, two.answers, two.group) == (1, ("A",), "birds")
    assert [shade(one), shade(two)] == [7, 9]
    assert (data.count, data.metric, data.labelled) == (2, "multiple_choice", True)
    assert data.columns == (
        "question=question,image=image,answer_index=answer,choices=options,group=category"
    )
    assert data.told == f"Reading columns {data.columns}"
    assert data.files == (tmp_path / "a.parquet",)
    # What was found by name can be typed: it is the same then.
    again = open_data(str(tmp_path / "a.parquet"), [data.columns])
    assert (again.columns, again.digest) == (data.columns, data.digest)


def test_shards_are_one_table_whose_rows_count_on(tmp_path):
    for split, counts in {"train": (1,), "test": (2, 0, 3)}.items():
        for n, count in enumerate(counts):
            name = f"data/{split}-{n:05d}-of-{len(counts):05d}.parquet"
            write_parquet(tmp_path / name, questions(count))
    data = open_data(str(tmp_path), split="test")
    assert [row.number for row in data.rows()] == list(range(5))
    assert [shade(row) for row in data.rows()] == [0, 1, 0, 1, 2]
    assert data.told.startswith("Reading split test, 3 files, columns question=question,")
    other = open_data(str(tmp_path), split="train")
    assert (other.count, other.digest == data.digest) == (1, False)
    write_parquet(tmp_path / "data/test-00001-of-00003.parquet", table(question=["a"]))
    with pytest.raises(UsageError, match=r"test-00001-of-00003.parquet has no column 'image'"):
        open_data(str(tmp_path), split="test")


def test_what_save_to_disk_wrote(tmp_path):
    save_to_disk(tmp_path / "test", questions(2), questions(1))
    save_to_disk(tmp_path / "train", questions(4))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}', encoding="utf-8")
    data = open_data(str(tmp_path), split="test")
    assert [shade(row) for row in data.rows()] == [0, 1, 0]
    assert open_data(str(tmp_path / "train")).count == 4


def test_pictures_beside_metadata(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        write_pictures(tmp_path / split, 2)
    lines = [{"file_name": f"{n}.png", "question": "what?", "answers": ["red"]} for n in (0, 1)]
    text = "\n".join(map(json.dumps, lines))
    (tmp_path / "test" / "metadata.jsonl").write_text(text, encoding="utf-8")
    with (tmp_path / "train" / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["file_name", "query", "label"], ["1.png", "what?", "red"]])
    for name, split in ((tmp_path, "test"), (tmp_path / "test" / "metadata.jsonl", None)):
        data = open_data(str(name), split=split)
        assert [row.show(8)[0].path.name for row in data.rows()] == ["0.png", "1.png"]
    [row] = open_data(str(tmp_path), split="train").rows()
    assert (row.asked, row.answers, row.show(8)[0].width) == ("what?", ("red",), 24)


def test_paths_are_named_from_the_file_and_lists_are_several_pictures(tmp_path):
    write_pictures(tmp_path)
    made = questions(1, image=[["0.png", "1.png"]])
    [row] = open_data(str(write_parquet(tmp_path / "a.parquet", made))).rows()
    assert [media.path for media in row.show(8)] == [tmp_path / "0.png", tmp_path / "1.png"]
    made = questions(1, image=[[png(3), png(4)]])
    [row] = open_data(str(write_parquet(tmp_path / "a.parquet", made))).rows()
    assert [media.frames[0].getpixel((0, 0))[0] for media in row.show(8)] == [3, 4]


def test_a_jsonl_with_names_of_its_own(tmp_path):
    write_pictures(tmp_path, 1)
    path = tmp_path / "a.jsonl"
    path.write_text('{"pic": "0.png", "text": "what?", "gold": {"a": ["red"]}}', encoding="utf-8")
    columns = ["image=pic,question=text", "answers=gold.a"]
    [row] = open_data(str(path), columns).rows()
    assert (row.asked, row.answers, row.show(8)[0].path.name) == ("what?", ("red",), "0.png")


def test_the_digest_is_of_every_byte_that_is_read(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", questions(2))
    first = open_data(str(path)).digest
    write_parquet(path, questions(2, image=stored(0, 5)))  # another picture
    second = open_data(str(path)).digest
    assert first != second
    write_parquet(path, questions(2))
    assert open_data(str(path)).digest == first
    # Of several files: of each, in their order.
    folder = tmp_path / "two"
    for name, count in (("a", 1), ("b", 2)):
        write_parquet(folder / f"{name}.parquet", questions(count))
    both = open_data(str(folder)).digest
    (folder / "a.parquet").rename(folder / "c.parquet")
    assert len({both, open_data(str(folder)).digest, first}) == 3


def test_pictures_are_read_when_rows_are_asked_and_not_before(tmp_path, monkeypatch):
    path, read = write_parquet(tmp_path / "a.parquet", questions(2)), []
    real = ArrowFile.rows
    monkeypatch.setattr(
        ArrowFile, "rows", lambda file, names: read.append(set(names)) or real(file, names)
    )
    data = open_data(str(path))
    assert read == [{"question", "answers"}]
    next(data.rows())
    assert read[1:] == [{"question", "answers", "image"}]


def test_rows_go_to_other_processes_with_their_pictures_and_no_others(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", questions(9))
    row = list(open_data(str(path)).rows())[4]
    sent = pickle.dumps(row)
    assert len(sent) < 5000
    assert shade(pickle.loads(sent)) == 4


def test_a_row_without_a_picture_is_no_fault_of_the_others(tmp_path):
    made = questions(3, image=stored(1, None, 3))
    rows = list(open_data(str(write_parquet(tmp_path / "a.parquet", made))).rows())
    assert [shade(rows[0]), shade(rows[2])] == [1, 3]
    with pytest.raises(MediaError, match="row 1: no image"):
        rows[1].show(8)


LABEL = {"answers": {"names": ["no", "yes"], "_type": "ClassLabel"}}
TEXT = pa.string()
HOSTILE = {
    "a wrong type": ({"question": [1, 2]}, "no column that by its name is question"),
    "a picture of numbers": ({"image": [1, 2]}, "is image or video; it has question (string), im"),
    "a list of lists": ({"answers": [[["a"]], [["b"]]]}, None),
    "structs for answers": ({"answers": [{"a": "b"}] * 2}, None),
    "no question": ({"question": ["what?", None]}, "row 1: no question"),
    "an empty question": ({"question": ["what?", " "]}, "row 1: question is empty"),
    "all null": ({"question": pa.array([None, None])}, "row 0: no question"),
    "a truth": ({"answers": [True, False]}, None),
    "not a number": ({"answers": [1.0, float("nan")]}, "row 1: answers nan is no number"),
    "endless": ({"answers": [1.0, float("inf")]}, "row 1: answers inf is no number"),
    "a label of nothing": ({"features": LABEL, "answers": [0, 7]}, "7 is none of the 2 names"),
    "one choice": ({"choices": [["a", "b"], ["a"]], "answers": ["a", "a"]}, "row 1: choices are"),
    "null choices": ({"choices": [["a", None]] * 2, "answers": ["a", "a"]}, "row 0: no choices"),
    "a far place": ({"choices": [["a", "b"]] * 2, "answers": [0, 2]}, "row 1: answer_index 2"),
    "no choice": ({"choices": [["a", "b"]] * 2, "answers": ["a", "c"]}, "none of the choices"),
    "two answers": ({"answer": ["a", "b"]}, "several columns that may be answers"),
    "no rows": ({"question": pa.array([], TEXT), "image": stored(), "answers": [[]][:0]}, "no que"),
    "a date": ({"answers": pa.array([0, 1], pa.date32())}, None),
    "control characters": ({"question": ["what\x1b[31m?", "\x00"]}, None),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tables_are_one_clear_line(tmp_path, name):
    """Or data all the same, where the column is none that a question needs."""
    columns, said = HOSTILE[name]
    path = write_arrow(tmp_path / "a.arrow", questions(2, **columns))
    if said is None:
        data = open_data(str(path))
        assert data.count == 2
        assert data.labelled == (name == "control characters")
        assert ("but not answers (" in data.told) != data.labelled
        return
    with pytest.raises(UsageError) as caught:
        open_data(str(path))
    assert caught.value.message.startswith(str(path))
    assert said in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 500
    assert caught.value.hint


def test_names_that_are_no_tables(tmp_path):
    for name in ("gone.parquet", "gone.csv", "a\0.parquet"):
        with pytest.raises(UsageError, match="cannot read"):
            open_data(str(tmp_path / name))
    (tmp_path / "a.parquet").mkdir()
    with pytest.raises(UsageError, match="without questions"):
        open_data(str(tmp_path / "a.parquet"))
    loop = tmp_path / "loop.parquet"
    loop.symlink_to(loop)
    with pytest.raises(UsageError, match="cannot read"):
        open_data(str(loop))
    for args in ({"columns": ["question=a"]}, {"split": "test"}):
        with pytest.raises(UsageError, match="built in"):
            open_data("shapes", **args)
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(UsageError, match="no folder of splits"):
        open_data(str(tmp_path / "a.jsonl"), split="test")
