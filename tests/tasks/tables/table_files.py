"""Tables for the tests, in the forms that `datasets` writes."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

STORED = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""An Image of `datasets`."""


def png(shade=0, side=24):
    file = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 80, 120)).save(file, "PNG")
    return file.getvalue()


def stored(*shades):
    """Images with their bytes; `None` is a row without one."""
    values = [None if one is None else {"bytes": png(one), "path": "a.png"} for one in shades]
    return pa.array(values, STORED)


def table(features=None, **columns):
    """A table, with what `datasets` says of its columns."""
    found = pa.table(columns)
    if features is None:
        return found
    told = json.dumps({"info": {"features": features}})
    return found.replace_schema_metadata({"huggingface": told})


def questions(count=4, **more):
    """A table of good questions."""
    columns = {
        "question": [f"what is {number}?" for number in range(count)],
        "image": stored(*range(count)),
        "answers": [["red"] for _ in range(count)],
    }
    return table(**{**columns, **more})


def write_parquet(path, made, rows=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(made, path, row_group_size=rows)
    return path


def write_arrow(path, made, rows=100, file=False):
    """In the form for streams, which `datasets` uses, or in the one for files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = pa.ipc.new_file if file else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as sink, new(sink, made.schema) as writer:
        writer.write_table(made, max_chunksize=rows)
    return path


def save_to_disk(folder, *made):
    """As `Dataset.save_to_disk` writes it, a file for each table."""
    names = [f"data-{n:05d}-of-{len(made):05d}.arrow" for n in range(len(made))]
    for name, one in zip(names, made, strict=True):
        write_arrow(folder / name, one)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0"}
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
    (folder / "dataset_info.json").write_text("{}", encoding="utf-8")
    return folder


def as_a_table(path):
    """The questions of a JSONL with their pictures inside, under names of another table."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    shown = [
        [{"bytes": (path.parent / name).read_bytes(), "path": name} for name in names]
        for names in (row.get("images") or [row["image"]] for row in rows)
    ]
    made = table(
        query=[row["question"] for row in rows],
        pictures=pa.array(shown, pa.list_(STORED)),
        gold=[row["answers"] for row in rows],
        group=[row["group"] for row in rows],
    )
    return write_parquet(path.parent / "t" / "test.parquet", made)
