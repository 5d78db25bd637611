"""Which files a folder means, split by split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from v2drop_cli.errors import UsageError
from v2drop_cli.tasks.tables.folders import find, split_of


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder, split=None):
    files, name = find(str(folder), split)
    return [path.relative_to(folder).as_posix() for path in files], name


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("data/testdev-00000-of-00001-0123abcd.parquet", "testdev"),
        ("x-val-00000-of-00001.arrow", "validation"),
        ("test/a.parquet", "test"),
        ("dev.parquet", "validation"),
        ("my_eval_2.parquet", "test"),
        ("test/train.parquet", "test"),
        ("a.parquet", None),
        ("contest.parquet", None),
        ("latest-1.parquet", None),
    ],
)
def test_the_split_is_in_the_name_or_the_folder(path, split):
    assert split_of(Path(path)) == split


def test_shards_are_taken_by_name_and_one_split_is_taken_by_itself(tmp_path):
    names = [f"data/test-0000{n}-of-00002.parquet" for n in (1, 0)]
    make(tmp_path, *names, "README.md", ".hidden/train.parquet", ".train.parquet")
    assert found(tmp_path) == (sorted(names), "test")
    make(tmp_path, "data/val-00000-of-00001.parquet")
    with pytest.raises(UsageError, match="several splits: test, validation") as caught:
        found(tmp_path)
    assert caught.value.hint == "--split test, or another"
    assert found(tmp_path, "test") == (sorted(names), "test")
    # Both the name that datasets has and the one of the file.
    for split in ("validation", "val"):
        assert found(tmp_path, split) == (["data/val-00000-of-00001.parquet"], "validation")
    with pytest.raises(UsageError, match="no split 'tset'") as caught:
        found(tmp_path, "tset")
    assert caught.value.hint.startswith("did you mean test?")


def test_files_of_no_split_are_a_split_beside_others(tmp_path):
    make(tmp_path, "b.parquet", "a.parquet")
    assert found(tmp_path) == (["a.parquet", "b.parquet"], None)
    make(tmp_path, "train.parquet")
    with pytest.raises(UsageError, match="several splits: rest, train"):
        found(tmp_path)
    assert found(tmp_path, "rest")[0] == ["a.parquet", "b.parquet"]


def test_folders_of_metadata(tmp_path):
    make(tmp_path, "train/metadata.csv", "test/metadata.jsonl", "test/0.png", "test/b.parquet")
    assert found(tmp_path, "test") == (["test/metadata.jsonl"], "test")
    make(tmp_path, "test/metadata.csv")
    with pytest.raises(UsageError, match=r"both metadata\.csv and metadata\.jsonl in"):
        found(tmp_path, "test")


def test_no_link_is_followed_round_and_no_folder_too_deep(tmp_path):
    make(tmp_path, "a/b/c/d/test.parquet", "a/b/c/d/e/train.parquet")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert found(tmp_path) == (["a/b/c/d/test.parquet"], "test")


def saved(folder, state=None):
    make(folder, "data-00000-of-00001.arrow", "dataset_info.json")
    if state is None:
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    text = state if isinstance(state, str) else json.dumps(state)
    (folder / "state.json").write_text(text, encoding="utf-8")


def test_folders_that_save_to_disk_wrote(tmp_path):
    saved(tmp_path / "one")
    assert found(tmp_path / "one") == (["data-00000-of-00001.arrow"], None)
    both = tmp_path / "both"
    saved(both / "train")
    saved(both / "test")
    (both / "dataset_dict.json").write_text('{"splits": ["train", "test"]}', encoding="utf-8")
    with pytest.raises(UsageError, match="several splits: train, test"):
        found(both)
    assert found(both, "test") == (["test/data-00000-of-00001.arrow"], "test")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("{", "cannot be read: state.json"),
        ("[]", "says nothing of its _data_files"),
        ({}, "says nothing of its _data_files"),
        ({"_data_files": []}, "says nothing of its _data_files"),
        ({"_data_files": [1]}, "says nothing of its _data_files"),
        ({"_data_files": [{"filename": "../a.arrow"}]}, "says nothing of its _data_files"),
        ({"_data_files": [{"filename": "a\0"}]}, "says nothing of its _data_files"),
        ({"_data_files": 3}, "says nothing of its _data_files"),
        ({"_data_files": [{"filename": "a"}], "_indices_data_files": [{"filename": "i"}]},
         "keeps the order of its rows apart"),
    ],
)  # fmt: skip
def test_a_saved_folder_that_is_not_whole(tmp_path, state, said):
    saved(tmp_path, state)
    with pytest.raises(UsageError) as caught:
        found(tmp_path)
    assert caught.value.message.startswith(str(tmp_path))
    assert said in caught.value.message
    assert caught.value.hint


def test_what_is_no_folder_of_questions(tmp_path):
    make(tmp_path, "a.txt")
    with pytest.raises(UsageError, match="is a folder without questions"):
        found(tmp_path)
    assert find(str(tmp_path / "gone.parquet"), None).files == (tmp_path / "gone.parquet",)
    with pytest.raises(UsageError, match="no folder of splits"):
        find(str(tmp_path / "a.txt"), "test")
    (tmp_path / "dataset_dict.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match="says nothing of its splits"):
        found(tmp_path)
