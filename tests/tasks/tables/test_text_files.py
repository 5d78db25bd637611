"""JSONL and CSV with columns of any name."""

from __future__ import annotations

import pytest

from v2drop_cli.errors import UsageError
from v2drop_cli.tasks.tables.text_files import Csv, JsonLines


def written(tmp_path, kind, data):
    path = tmp_path / "t"
    path.write_bytes(data)
    return kind("t", path)


def test_json_lines(tmp_path):
    file = written(tmp_path, JsonLines, b'\xef\xbb\xbf{"a": 1, "b": [2]}\r\n\n{"a": "x", "c": 3}')
    assert list(file.columns()) == ["a", "b"]
    assert list(file.rows(["a", "b"])) == [{"a": 1, "b": [2]}, {"a": "x", "b": None}]
    assert written(tmp_path, JsonLines, b"\n").columns() == {}


def test_csv(tmp_path):
    text = 'a,b\r\n1,"two\r\nlines, ""so"""\r\n\r\n,ü\r\n'
    file = written(tmp_path, Csv, b"\xef\xbb\xbf" + text.encode())
    assert list(file.columns()) == ["a", "b"]
    rows = [{"a": "1", "b": 'two\r\nlines, "so"'}, {"a": None, "b": "ü"}]
    assert list(file.rows(["a", "b"])) == rows
    assert list(written(tmp_path, Csv, b"").rows([])) == []


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        (JsonLines, b'{"a": 1}\n[]', "t, line 2 is no JSON object"),
        (JsonLines, b'{"a": 1}\n{', "t, line 2 is no JSON"),
        (JsonLines, b'{"a": "\xff"}', "t, line 1 is not UTF-8"),
        (Csv, b"a,b\n1\n", "t, row 0 has 1 cells for 2 columns"),
        (Csv, b"a,b\n1,2\n1,2,3\n", "t, row 1 has 3 cells for 2 columns"),
        (Csv, b"a,a\n1,2\n", "t has several columns 'a'"),
        (Csv, b'a\n"1', "t is no CSV"),
        (Csv, b'a\n"1"2\n', "t is no CSV"),
        (Csv, b"a\n" + b"x" * 200_000, "t is no CSV"),
        (Csv, b"a\n" + b"x" * 2_000_000, "t, line 2 is longer"),
        (Csv, b"a\n\xff", "t, line 2 is not UTF-8"),
    ],
)
def test_a_bad_line_is_named(tmp_path, kind, data, said):
    file = written(tmp_path, kind, data)
    with pytest.raises(UsageError) as caught:
        list(file.rows(list(file.columns())))
    assert caught.value.message.startswith(said.split(" ")[0])
    assert said in caught.value.message
