"""Every command that the pages print runs, as it is printed but for less work and a tiny model.

`RULES` says what is added to a command that begins so: the later of two options counts. What
begins like no rule fails `test_every_command_has_a_rule`: give it one, and it will be run.
"""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.checkpoints import save_checkpoint
from tests.commands.test_compare import made
from tests.printed import PAGES, ROOT, Command, commands, kinds, python
from tests.tasks.tables.table_files import stored, table, write_parquet
from v2drop_cli.bench.watch import Phase
from v2drop_cli.cli import app
from v2drop_cli.models.names import ALIASES
from v2drop_cli.schedule import Schedule
from v2drop_cli.schedule_file import written

SAMPLES = ROOT / "sample_media"
# Of what the pages call a picture, a clip or a report of the reader's own.
PICTURES, CLIPS = ("cat.jpg", "a.png", "b.png"), ("clip.mp4",)
REPORTS = ("before.json", "after.json", "A.json", "B.json")
NAMES = ("run", "profile", "compare", "viz", "sweep", "eval", "tune")  # all of them want more words
SHELL = "a shell's own"
RUN_SCRIPTS = (".ci/run", "tests/cli/test_ci_smoke.py")


@dataclass(frozen=True)
class Rule:
    """How commands with one beginning are run.

    Attributes:
        added: arguments behind those printed; `{model}` is a tiny checkpoint.
        codes: how it may leave.
        said: what stderr then holds.
        elsewhere: what runs it instead: a file of this project, and words in it that do.
        why: why nothing runs it.
    """

    added: str = ""
    codes: tuple[int, ...] = (0,)
    said: str = ""
    elsewhere: tuple[str, str] | None = None
    why: str = ""


TINY = "--model {model} --warmup 0 --repeats 1 --max-new-tokens 2"
ASKED = "--model {model} --limit 1 --max-new-tokens 1"
TUNED = "--model {model} --sampler random --trials 1 --limit 2 --max-new-tokens 1"
ONCE = "--warmup 0 --repeats 1 --max-time 0 --new-tokens 1 --max-new-tokens 1"
TRAIN = "--steps 1 --folder build/tiny --assets build/tiny-model"
INSTALLS = Rule(why="the network; its options are read by pip's own parser")
RULES = {
    "v2drop run": Rule(TINY),
    "v2drop run --pictures": Rule(f"{TINY} --image sample_media/scene.png"),
    "v2drop run --image cat.jpg --method longest:order=1": Rule(
        elsewhere=("tests/methods/test_plug_ins.py", "longest:order=1")
    ),
    "v2drop profile": Rule(f"{TINY} --max-time 0 --new-tokens 2"),
    # Its gates are about the embedded model.
    "v2drop profile --image sample_media/scene.png --device cpu": Rule(ONCE),
    "v2drop profile --config v2drop.toml": Rule(ONCE),
    "v2drop sweep": Rule(f"--model {{model}} {ONCE}"),
    # Made-up media of published models.
    "v2drop sweep --model": Rule(elsewhere=("tests/commands/test_sweep.py", "dummy")),
    "v2drop viz": Rule("--model {model}"),
    "v2drop viz report.json": Rule(),
    "v2drop eval": Rule(ASKED),
    "v2drop eval questions.jsonl": Rule(f"{ASKED} --output fresh"),
    "v2drop eval questions.jsonl --model llava-1.5-7b --output run/ --resume": Rule(ASKED),
    "v2drop eval chartqa/": Rule(ASKED),
    "v2drop tune": Rule(f"{TUNED} --output fresh-shapes"),
    "v2drop tune questions.jsonl": Rule(f"{TUNED} --holdout questions.jsonl --output fresh-tune"),
    "v2drop tune questions.jsonl --model llava-1.5-7b --tolerate 1% --output tuned/ --resume": Rule(
        f"{TUNED} --holdout questions.jsonl"
    ),
    "v2drop eval questions.jsonl --output run/ --shard 1/4": Rule(f"{ASKED} --output shard"),
    "v2drop compare": Rule(),
    "v2drop --help": Rule(),
    "v2drop models": Rule(),
    "v2drop doctor": Rule(codes=(0, 1)),  # what it says of this machine is no matter here
    "v2drop doctor --prove": Rule("--model tiny --dtype float32", codes=(0, 1)),
    "v2drop train-metacompress": Rule(
        elsewhere=("tests/cli/test_train_metacompress.py", "train-metacompress")
    ),
    "python -m benchmarks.tables": Rule(),
    "python -m benchmarks.tiny.readme": Rule(),
    "python -m benchmarks.picture": Rule(),
    # Opening pages in a browser is tried in tests/report/html/test_browser.py.
    "python -m benchmarks.pages": Rule("none", codes=(2,), said="no screenshot is called"),
    "python -m tests.cli.regenerate": Rule(),
    "python -m benchmarks.tiny.sample": Rule(),
    "python -m benchmarks.tiny.drawn": Rule("--count 2"),
    "python -m benchmarks.tiny.train": Rule(f"{TRAIN} --stages A1 B1 B4 C"),
    "python -m benchmarks.tiny.train --threads 1 --stages": Rule(f"{TRAIN} --stages A2 B2"),
    "python -m benchmarks.tiny.train --stages D2": Rule(TRAIN),
    "python -m benchmarks.tiny.variant_study": Rule(
        "--scenes 1 --clips 1 --workers 1 --output build/variants.json"
    ),
    "python -m benchmarks.tiny.tune_study": Rule(
        "--samplers random --seeds 1 --trials 1 --rows 1 --held-out 1 --output build/tune.json"
    ),
    "python -m benchmarks.tiny.score": Rule(
        "--per-task 1 --per-clip-task 1 --arms 2 --workers 1 --output build/scores.json"
    ),
    "python -m benchmarks.scoring": Rule(
        "--small --methods random fastv --rounds 1 --budget 0 --output build/scoring.json"
    ),
    "python -m benchmarks.tiny.fair_fight": Rule(
        "--methods random --per-task 1 --per-clip-task 1 --workers 1 --output build/fight.json"
    ),
    "python -m benchmarks.tiny.fight_costs": Rule(
        "--methods random --rounds 1 --output build/costs.json"
    ),
    "python -m benchmarks.overhead": Rule(
        "--small --frames 2 --rounds 2 --bare-rounds 3 --budget 1 --output build/overhead.json"
    ),
    "python -m benchmarks.coverage": Rule(
        "--intervals 1 --profiles 1 --most-rounds 5 --output build/coverage.json"
    ),
    "python -m benchmarks.aa_study": Rule("--profiles 1 --max-time 0 --output build/aa_study.json"),
    "python -m benchmarks.gpu": Rule(codes=(2,), said="--dry-run needs none"),
    "python -m benchmarks.mutation.run": Rule(
        elsewhere=("tests/benchmarks/test_mutation.py", "benchmarks.mutation")
    ),
    "python -m benchmarks.mutation": Rule(
        why="the name that it had when the first results were made"
    ),
    "python -m benchmarks.optimum": Rule(codes=(2,), said="needs optimum-benchmark"),
    "python -m tests.library": Rule(),
    "python -m tests.methods": Rule(elsewhere=("tests/methods/test_page.py", "tests.methods")),
    "python -m tests.support": Rule(elsewhere=("tests/test_support.py", '"tests.support"')),
    # Its processes are started by torch; the module and its arguments are run without it.
    "torchrun": Rule(f"{TRAIN} --stages A3"),
    "torchrun --nproc_per_node 8 -m v2drop_cli eval": Rule(elsewhere=(".ci/kills", "torchrun")),
    "torchrun --nproc_per_node 4 -m v2drop_cli run": Rule(
        elsewhere=("tests/modes/split_in_two.py", "--tp-plan")
    ),
    "accelerate launch": Rule(elsewhere=(".ci/kills", '"accelerate", "launch"')),
    ".ci/kills": Rule(why="ten minutes of killing; it is run by hand"),
    "python -m lmms_eval": Rule(elsewhere=("benchmarks/lmms/end_to_end.py", '"lmms_eval"')),
    "v2drop eval questions.jsonl --output run/ --engine ray": Rule(
        elsewhere=("benchmarks/ray_check.py", '"--engine", "ray"')
    ),
    ".ci/ray": Rule(why="an environment of its own, with Ray in it: run by hand"),
    ".ci/lmms-eval": Rule(why="an environment of its own, with lmms-eval in it: run by hand"),
    ".ci/run": Rule(why="it is what runs all tests; test_docs looks at what it runs"),
    "python -m pytest": Rule(elsewhere=(".ci/run", "README.md")),
    "pytest": Rule(why="a choice of these tests"),
    "pip install": INSTALLS,
    "apt-get install": Rule(elsewhere=(".ci/run", "apt-get install")),
    "python3 -m venv": Rule(elsewhere=(".ci/run", "README.md")),
    ". .venv/bin/activate": Rule(elsewhere=(".ci/run", "README.md")),
    "cat": Rule(why=SHELL),
    "wait": Rule(why=SHELL),
}
PREFIXES = {tuple(shlex.split(prefix)): rule for prefix, rule in RULES.items()}
PRINTED = list(dict.fromkeys(c for page in PAGES for c in commands(page.read_text("utf-8"))))
OURS = [command for command in PRINTED if command[0] == "v2drop"]


def rule_for(command: Command) -> Rule | None:
    """The rule with the longest beginning; other scripts need none if `.ci/run` or a test does."""
    if command[0].startswith(".ci/") and command[:1] not in PREFIXES:
        ran = [path for path in RUN_SCRIPTS if command[0] in (ROOT / path).read_text("utf-8")]
        return Rule(elsewhere=(ran[0], command[0])) if ran else None
    fit = [prefix for prefix in PREFIXES if command[: len(prefix)] == prefix]
    return PREFIXES[max(fit, key=len)] if fit else None


def arguments(command: Command, model: object = "") -> list[str]:
    """What is run, without the program's name."""
    rule = rule_for(command)
    assert rule is not None, f"{shlex.join(command)}: no rule"
    if command in [("v2drop", name) for name in NAMES]:
        return [*command[1:], "--help"]  # a name in the text
    return [*command[1:], *(word.format(model=model) for word in rule.added.split())]


def test_every_command_has_a_rule():
    missing = [shlex.join(command) for command in PRINTED if rule_for(command) is None]
    assert missing == []
    assert [shlex.join(command) for command in PRINTED if "…" in shlex.join(command)] == []
    used = [rule_for(command) for command in PRINTED]
    stale = [prefix for prefix, rule in RULES.items() if not any(rule is one for one in used)]
    assert stale == []


def test_a_command_without_a_rule_is_found_wherever_it_stands():
    page = (
        "Run `v2drop sketch --x` or\n`python -m\nbenchmarks.new`, see [.ci/new](x).\n\n"
        "    torchrun -m y\n\n```sh\nmake it && v2drop a \\\n  --b > c\n```\n\n"
        "```console\n$ nvidia-smi | head  # says\nsaid\n```\n\n"
        "```text\nUsage:\n  v2drop z -q\n```\n\n"
        "```yaml\njobs:\n  one:\n    steps:\n      - run: tox\n```\n"
    )
    found = {shlex.join(command) for command in commands(page)}
    assert found == {
        "v2drop sketch --x", "python -m benchmarks.new", ".ci/new", "torchrun -m y", "make it",
        "v2drop a --b", "nvidia-smi", "head", "v2drop z -q", "tox",
    }  # fmt: skip
    unknown = ("make it", "v2drop sketch --x", "python -m benchmarks.new", "v2drop", "tox")
    assert all(rule_for(tuple(line.split())) is None for line in unknown)
    known = {"sh", "console", "yaml", "toml", "text", "python"}
    assert all(kinds(page.read_text("utf-8")) <= known for page in PAGES)


def test_what_runs_elsewhere_does_and_what_does_not_says_why():
    for prefix, rule in RULES.items():
        if rule.elsewhere is not None:
            path, words = rule.elsewhere
            assert words in (ROOT / path).read_text("utf-8"), prefix
        run_here = prefix.startswith(("v2drop", "python -m", "torchrun"))
        assert rule.why or rule.elsewhere or run_here, prefix


# The command line ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with everything that the pages name, and a model."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "sample_media").symlink_to(SAMPLES)
    for name in PICTURES:
        shutil.copy(SAMPLES / ("cat.jpg" if name.endswith("jpg") else "scene.png"), folder / name)
    for name in CLIPS:
        shutil.copy(SAMPLES / name, folder)
    question = {"image": PICTURES[0], "question": "what is it?", "answers": ["a cat"]}
    (folder / "questions.jsonl").write_text(json.dumps(question), encoding="utf-8")
    asked = table(query=["what?"], image=stored(3), label=[["a cat"]])
    write_parquet(folder / "chartqa" / "test.parquet", asked)
    for place, name in enumerate(REPORTS):
        report = made(1 + 0.001 * (place % 2))
        (folder / name).write_text(report.dumps(), encoding="utf-8")
    shutil.copy(ROOT / "benchmarks" / "results" / "kept-scene.json", folder / "report.json")
    [config] = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/ci.md").read_text("utf-8"), re.DOTALL)
    (folder / "v2drop.toml").write_text(config, encoding="utf-8")
    (folder / "tuned").mkdir()
    (folder / "tuned" / "schedule.json").write_text(
        written(Schedule.parse("2:0.5"), "v2drop", {}), encoding="utf-8"
    )
    save_checkpoint(folder / "model", n_layers=10)
    return folder


HERE = [command for command in OURS if (rule := rule_for(command)) is None or not rule.elsewhere]


@pytest.mark.parametrize("command", HERE, ids=shlex.join)
def test_v2drop(command, desk, monkeypatch):
    monkeypatch.chdir(desk)
    result = CliRunner().invoke(app, arguments(command, desk / "model"))
    assert result.exit_code in rule_for(command).codes, result.stderr
    assert result.stdout or "Wrote " in result.stderr
    assert "Traceback" not in result.stderr


def test_models_in_the_commands_are_known():
    pairs = [pair for command in OURS for pair in itertools.pairwise(command)]
    names = [name for option, name in pairs if option == "--model"]
    assert names
    assert set(names) <= set(ALIASES)


def test_without_the_hub_a_printed_command_is_one_honest_line(desk, monkeypatch):
    [command] = [c for c in OURS if c[-1] == "llava-1.5-7b" and c[1] == "run"]
    monkeypatch.chdir(desk)
    monkeypatch.setenv("HF_HUB_CACHE", str(desk / "nothing"))
    result = CliRunner().invoke(app, list(command[1:]))
    assert (result.exit_code, result.stdout) == (1, "")
    error, hint = [line for line in result.stderr.splitlines() if not line.startswith(tuple(Phase))]
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")


# Modules -------------------------------------------------------------------------------------

# One process for all of them, since most of the time goes into importing torch; each module runs as
# `python -m` would run it.
DRIVER = """
import contextlib, io, json, os, runpy, sys
from unittest import mock

def run(argv):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), mock.patch.object(sys, "argv", argv):
        try:
            runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
        except SystemExit as left:
            return left.code or 0, said.getvalue()
        except BaseException as error:
            return 1, said.getvalue() + f"{type(error).__name__}: {error}"
    return 0, said.getvalue()

with contextlib.redirect_stdout(sys.stderr):
    found = [run(argv) for argv in json.load(sys.stdin)]
json.dump(found, sys.stdout)
"""
MADE = (
    "README.md",
    "docs/library.md",
    "docs/cli.md",
    "docs/benchmarks.md",
    "docs/measuring.md",
    "docs/tiny.md",
    "docs/variants.md",
    "docs/tune.md",
)


def modules() -> dict[Command, list[str]]:
    """Printed command → module and arguments."""
    found = {}
    for command in PRINTED:
        if command[0] == "torchrun" and runs_here(command):
            from torch.distributed.run import parse_args

            asked = parse_args(arguments(command))
            assert asked.module
            found[command] = [asked.training_script, *asked.training_script_args]
        elif command[:2] == ("python", "-m") and runs_here(command):
            found[command] = arguments(command)[1:]
    return found


def runs_here(command: Command) -> bool:
    rule = rule_for(command)
    return rule is not None and rule.elsewhere is None and not rule.why


@pytest.mark.slow
def test_modules(tmp_path):
    """In a copy of the project, because many of them write into it."""
    for name in ("benchmarks", "docs", "sample_media", "tests", "v2drop_cli"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "README.md", tmp_path)
    asked = modules()
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        cwd=tmp_path,
        input=json.dumps(list(asked.values())),
        env={**os.environ, "PYTHONPATH": path_to(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1200,  # of a busy machine
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    wrong = {}
    for command, (code, said) in zip(asked, json.loads(done.stdout), strict=True):
        rule = rule_for(command)
        if code not in rule.codes or rule.said not in said:
            wrong[shlex.join(command)] = (code, said[-1000:])
    assert wrong == {}
    for page in MADE:  # made from what is in the project, so made as they are
        assert (tmp_path / page).read_text("utf-8") == (ROOT / page).read_text("utf-8"), page


def path_to(folder: Path) -> str:
    """The copy in front, behind it what this process was given."""
    given = (Path(path).resolve() for path in os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return os.pathsep.join([str(folder), *(str(path) for path in given if path != ROOT)])


# Installing ----------------------------------------------------------------------------------


def test_pip_takes_its_options():
    """What is to be installed is this project, pinned, or an extra of its own."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    asked = [command for command in PRINTED if command[:2] == ("pip", "install")]
    assert len(asked) > 4
    script = (
        "import json, sys\nfrom pip._internal.commands import create_command\n"
        "pip = create_command('install')\nfor line in json.load(sys.stdin):\n"
        "    options, names = pip.parse_args(line)\n"
        "    print(json.dumps([options.constraints, options.editables, names]))\n"
    )
    lines = json.dumps([command[2:] for command in asked])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], input=lines, capture_output=True, text=True
    )
    if "No module named 'pip'" in done.stderr:
        pytest.skip("no pip in this environment")
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        constraints, editables, names = json.loads(line)
        assert all((ROOT / name).is_file() for name in constraints or ())
        for name in (*editables, *names):
            path, extras = re.fullmatch(r"([^\[]*)(?:\[([\w,]+)\])?", name).groups()
            assert path == "." or "==" in path or f'"{path}>=' in project
            assert all(f"\n{extra} = [" in project for extra in (extras or "").split(",") if extra)


# Python --------------------------------------------------------------------------------------

SNIPPETS = [code for page in PAGES for code in python(page.read_text("utf-8"))]


@pytest.mark.parametrize("code", SNIPPETS, ids=range(len(SNIPPETS)))
def test_python(code, desk, monkeypatch):
    """As it stands where it uses what is in the package; what is on the Hub is a tiny model."""
    monkeypatch.chdir(desk)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and "from_pretrained" in ast.unparse(node.func):
            code = code.replace(f'"{node.args[0].value}"', repr(str(desk / "model")))
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    if "dropping(" in code:
        assert names["output"].shape[1] > 1
        assert names["trace"].events
    # A method alone is run by tests/methods/test_plug_ins.py.
    assert any(word in code for word in ("dropping(", "profile(", "(Method)"))
