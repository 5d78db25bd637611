"""Defaults of options from a file: which file, which tables, what is refused."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import SAMPLES
from v2drop_cli.cli import app
from v2drop_cli.cli.config_file import ConfigFile, Invocation, defaults, find
from v2drop_cli.cli.groups.gate_options import GateOptions
from v2drop_cli.cli.groups.measuring_options import ProfileMeasuring
from v2drop_cli.cli.groups.media_options import MediaOptions
from v2drop_cli.cli.groups.model_options import ModelOptions
from v2drop_cli.cli.groups.output_options import ProfileOutput
from v2drop_cli.cli.signature import declared
from v2drop_cli.errors import UnknownNameError, UsageError

GROUPS = (MediaOptions, ModelOptions, ProfileMeasuring, GateOptions, ProfileOutput)
OPTIONS = [option for group in GROUPS for option in declared(group)]
NAMES = frozenset(option.name for option in OPTIONS)
KNOWN = {"profile": NAMES, "run": NAMES - {"precision"}, "models": frozenset({"json"})}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(here, text, *typed, name="v2drop.toml"):
    """What `profile` takes from a file that holds `text`, when some options were typed."""
    path = here / name
    path.write_text(text, encoding="utf-8")
    config = find(path if name == "v2drop.toml" else None, False, tuple(KNOWN))
    return defaults(config, Invocation("profile", frozenset(typed), KNOWN), OPTIONS)


def test_keys_are_the_long_names_of_options_in_either_spelling(here):
    assert read(here, 'max-time = 5\nfail_if = "a<1"\nstrict = true\noutput = "r.json"') == {
        "max_time": 5.0, "fail_if": ["a<1"], "strict": True, "output": "r.json",
    }  # fmt: skip


def test_a_list_is_an_option_given_several_times(here):
    assert read(here, 'image = ["a.png", "b.png"]') == {"image": ["a.png", "b.png"]}


def test_a_number_may_stand_where_text_is_taken(here):
    assert read(here, "precision = 0.02\nfail-if = [1, 2.5]") == {
        "precision": "0.02", "fail_if": ["1", "2.5"],
    }  # fmt: skip


def test_the_table_of_a_command_wins_and_others_are_not_its_matter(here):
    text = "repeats = 3\nseed = 1\n[profile]\nrepeats = 9\n[run]\nseed = 7"
    assert read(here, text) == {"repeats": 9, "seed": 1}


def test_what_is_typed_wins(here, capsys):
    assert read(here, "repeats = 3\nseed = 1", "repeats") == {"seed": 1}
    assert capsys.readouterr().err == f"options from {here / 'v2drop.toml'}: seed\n"


def test_typed_media_take_the_place_of_the_files_media(here):
    text = 'image = "a.png"\nframes = 4'
    assert read(here, text, "video") == {"frames": 4}
    assert read(here, text, "frames") == {"image": ["a.png"]}


WRONG = {
    'repeats = "3"': "repeats is '3', not a whole number",
    "repeats = 3.5": "repeats is 3.5, not a whole number",
    "repeats = true": "repeats is True, not a whole number",
    "repeats = [3]": "repeats is [3], not a whole number",
    "max-time = 'long'": "max-time is 'long', not a number",
    "strict = 1": "strict is 1, not true or false",
    "strict = 'true'": "strict is 'true', not true or false",
    "prompt = true": "prompt is True, not text",
    "output = 3": "output is 3, not text",
    "image = [true]": "image is True, not text, or a list of such",
    "repeats = 0": "repeats is 0",
    "seed = 4294967296": "seed is 4294967296",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_value_of_the_wrong_kind_is_refused_by_name(here, text):
    with pytest.raises(UsageError) as refused:
        read(here, text)
    assert f"v2drop.toml: {WRONG[text]}" in refused.value.message
    assert refused.value.hint.startswith("--")


@pytest.mark.parametrize(
    ("text", "where", "near"),
    [
        ("repeat = 3", "'repeat'", "repeats"),
        ("[profile]\nrepeat = 3", "[profile]: 'repeat'", "repeats"),
        ("[profil]\nrepeats = 3", "'profil'", "profile"),
        ("[run]\nprecison = '1%'", "[run]: 'precison'", "known: "),  # also of other commands
        ("[run]\nprecision = '1%'", "[run]: 'precision'", "known: "),
        ("debug = true", "'debug'", "known: "),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_names(here, text, where, near):
    with pytest.raises(UnknownNameError) as refused:
        read(here, text)
    assert where in refused.value.message
    assert near in refused.value.hint


def test_two_spellings_of_one_option_are_refused(here):
    with pytest.raises(UsageError, match="max-time and max_time are one option"):
        read(here, "max-time = 3\nmax_time = 4")


@pytest.mark.parametrize("text", ["profile = 3", "x", "a = 'unclosed"])
def test_a_file_that_is_none_is_refused(here, text):
    with pytest.raises(UsageError, match=r"v2drop\.toml"):
        read(here, text)


def test_a_pyproject_here_is_read_unless_it_says_nothing(here):
    assert find(None, False, tuple(KNOWN)) is None
    path = here / "pyproject.toml"
    path.write_text("[tool.other]\nx = 1")
    assert find(None, False, tuple(KNOWN)) is None
    with pytest.raises(UsageError, match=r"no table \[tool.v2drop\]"):
        find(path, False, tuple(KNOWN))
    found = read(here, "[tool.v2drop]\nseed = 4\n[tool.v2drop.run]\nseed = 5", name=path.name)
    assert found == {"seed": 4}
    assert find(None, True, tuple(KNOWN)) is None
    path.write_text("[")
    with pytest.raises(UsageError) as refused:
        find(None, False, tuple(KNOWN))
    assert "--no-config" in refused.value.hint
    assert find(None, True, tuple(KNOWN)) is None


@pytest.mark.parametrize("key", ["trust-remote-code", "allow-pickle"])
def test_code_of_others_runs_only_where_the_user_named_the_file(here, key):
    assert read(here, f"{key} = true") == {key.replace("-", "_"): True}
    harmless = read(here, f"[tool.v2drop]\n{key} = false", name="pyproject.toml")
    assert harmless == {key.replace("-", "_"): False}
    with pytest.raises(UsageError, match="lets code of others run") as refused:
        read(here, f"[tool.v2drop]\n{key} = true", name="pyproject.toml")
    assert f"--{key}" in refused.value.hint


# From the command line -----------------------------------------------------------------------


def test_every_option_of_every_command_has_its_fields_name():
    import typer

    for command in typer.main.get_command(app).commands.values():
        for option in command.params:
            if option.param_type_name == "option" and option.name != "help":
                assert option.opts == [f"--{option.name.replace('_', '-')}"]
                assert option.name not in typer.main.get_command(app).commands


def test_a_file_asks_and_the_command_line_wins(v2drop, here, checkpoint):
    (here / "pyproject.toml").write_text(
        f"""[tool.v2drop]
        model = "{checkpoint}"
        image = "{SAMPLES / "cat.jpg"}"
        seed = 3
        [tool.v2drop.run]
        repeats = 1
        warmup = 0
        max-new-tokens = 9
        method = ["random", "uniform"]
        """
    )
    result = v2drop("run", "--json", "--max-new-tokens", 2)
    assert result.code == 0, result.err
    assert result.err.splitlines()[0] == (
        "options from pyproject.toml: image, method, model, seed, repeats, warmup"
    )
    report = json.loads(result.out)
    assert [arm["method"] for arm in report["arms"]] == [None, "random", "uniform"]
    request = report["request"]
    assert (request["seed"], request["repeats"], request["max_new_tokens"]) == (3, 1, 2)
    v2drop("run", "--no-config").refused(2, "nothing to look at")
    v2drop("run", "--no-config", "--config", "x").refused(2, "together")
    v2drop("run", "--config", "x.toml").refused(2, "cannot read x.toml", "its name")
    v2drop("run", "--config", "").refused(2, "--config names no file")


def test_a_file_that_says_nothing_to_a_command_is_silent_unless_it_was_named(v2drop, here):
    (here / "pyproject.toml").write_text("[tool.v2drop.profile]\nrepeats = 1")
    assert v2drop("models").err == ""
    named = v2drop("models", "--config", "pyproject.toml")
    assert named.err == "options from pyproject.toml: none of this command\n"


def test_a_config_file_knows_its_place():
    assert ConfigFile(SAMPLES, {"a-b": 1}, {"run": {"a_b": 2}}, True).values("run") == {
        "a_b": ("a_b", 2)
    }
