"""Whether tables that `datasets` writes are read as it reads them itself: `.ci/datasets`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import datasets
from PIL import Image

from v2drop_cli.tasks.sources import open_data

NAMES = ["cat", "dog", "owl"]
FEATURES = datasets.Features(
    {
        "question": datasets.Value("string"),
        "image": datasets.Image(),
        "choices": datasets.List(datasets.Value("string")),
        "answer": datasets.Value("int64"),
        "category": datasets.ClassLabel(names=NAMES),
    }
)
PEOPLE = datasets.Features(
    {
        "question": datasets.Value("string"),
        "images": datasets.List(datasets.Image()),
        "answers": datasets.List(
            {"answer": datasets.Value("string"), "id": datasets.Value("int8")}
        ),
    }
)


def picture(number):
    return Image.new("RGB", (20 + number, 30), (number, 90, 200 - number))


def rows(count):
    for n in range(count):
        yield {
            "question": f"which is {n}?", "image": picture(n), "choices": NAMES, "answer": n % 3,
            "category": n % 3,
        }  # fmt: skip


def people(count):
    for n in range(count):
        said = [{"answer": f"{word} {n}", "id": i} for i, word in enumerate(NAMES)]
        yield {"question": f"{n}?", "images": [picture(n), picture(n + 1)], "answers": said}


def pixels(images):
    return [(image.size, image.convert("RGB").tobytes()) for image in images]


def shown(row):
    return pixels(frame for media in row.show(8) for frame in media.frames)


def same(ours, theirs):
    """Row by row: the question, the right answer, the group and every pixel."""
    found = list(ours.rows())
    assert len(found) == len(theirs) == ours.count > 0
    for row, value in zip(found, theirs, strict=True):
        assert row.asked == value["question"]
        if "answers" in value:
            assert list(row.answers) == [one["answer"] for one in value["answers"]]
            assert shown(row) == pixels(value["images"])
        else:
            assert row.answers == ("ABC"[value["answer"]],)
            assert row.group == NAMES[value["category"]]
            assert shown(row) == pixels([value["image"]])
    return len(found)


def cases(folder):
    """Data as we open them, and as `datasets` does."""
    both = datasets.DatasetDict(
        train=datasets.Dataset.from_generator(rows, FEATURES, gen_kwargs={"count": 5}),
        test=datasets.Dataset.from_generator(rows, FEATURES, gen_kwargs={"count": 40}),
    )
    both.save_to_disk(folder / "both", num_shards={"train": 1, "test": 3})
    yield "save_to_disk", open_data(str(folder / "both"), split="test"), both["test"]
    # Rows in another order, which are written in it.
    both["test"].shuffle(seed=1).select(range(9)).save_to_disk(folder / "nine")
    yield "shuffled", open_data(str(folder / "nine")), datasets.load_from_disk(folder / "nine")
    hub = folder / "hub" / "data"
    hub.mkdir(parents=True)
    for n in range(2):
        shard = both["test"].shard(2, n, contiguous=True)
        shard.to_parquet(hub / f"test-0000{n}-of-00002.parquet", batch_size=7)
    both["train"].to_parquet(hub / "train-00000-of-00001.parquet")
    theirs = datasets.load_dataset(str(folder / "hub"), split="test")
    yield "parquet", open_data(str(folder / "hub"), split="test"), theirs
    said = datasets.Dataset.from_generator(people, PEOPLE, gen_kwargs={"count": 6})
    said.to_parquet(folder / "people.parquet")
    columns = ["answers=answers.answer"]
    yield "lists", open_data(str(folder / "people.parquet"), columns), said
    pictures = folder / "pictures" / "test"
    pictures.mkdir(parents=True)
    lines = ["file_name,question,answer"]
    for n in range(4):
        picture(n).save(pictures / f"{n}.png")
        lines.append(f"{n}.png,what is {n}?,cat")
    (pictures / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    found = datasets.load_dataset("imagefolder", data_dir=str(folder / "pictures"), split="test")
    theirs = [
        {"question": one["question"], "images": [one["image"]], "answers": [one]} for one in found
    ]
    yield "imagefolder", open_data(str(folder / "pictures")), theirs


def main() -> None:
    datasets.disable_progress_bars()
    print("datasets", datasets.__version__)
    with tempfile.TemporaryDirectory() as folder:
        datasets.config.HF_DATASETS_CACHE = Path(folder) / "cache"
        for name, ours, theirs in cases(Path(folder)):
            print(f"{name}: {same(ours, theirs)} rows are the same; {ours.told}")


if __name__ == "__main__":
    main()
