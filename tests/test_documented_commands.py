"""Every command of the documents and the configurations is understood by the script that it starts."""

import argparse
import importlib
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import trl
from accelerate.commands.launch import launch_command_parser
from trl import TrlParser

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "training/configs"
DOCUMENTS = [ROOT / "README.md", ROOT / "degradations/README.md", ROOT / "training/README.md", *CONFIGS.glob("*.yaml")]
OURS = r"-m (?:demo|training|degradations|tests)\b|\bapp\.py\b"
STAND_INS = {"MMStar.tsv": "README.md", "PHOTOS": "examples"}
"""For files that have to be there when options are read."""

ON_THE_CPU = ["--use_cpu", "true", "--bf16", "false"]
"""For the trainers' configurations, as they want a GPU where they are for one."""


def commands(document: Path) -> list[str]:
    """The commands of indented blocks, or of a configuration's comments; one a line, variables filled in."""
    begin = "#   " if document.suffix == ".yaml" else "    "
    lines = [line.removeprefix(begin) for line in document.read_text().splitlines() if line.startswith(begin)]
    text = re.sub(r"\\\n *", "", "\n".join(lines))
    text = text.replace("$TRL", trl.__path__[0])
    if two := re.search(r'\bTWO="(.*?)"', text):
        text = text.replace("$TWO", two[1])
    without_comments = (re.split(r"\s+# ", line)[0] for line in text.splitlines())
    return [line for line in without_comments if re.search(OURS, line)]


COMMANDS = list(dict.fromkeys(command for document in DOCUMENTS for command in commands(document)))


def split(command: str) -> tuple[list[str], str, list[str]]:
    """What starts it, the module, its options."""
    words = [STAND_INS.get(word, word) for word in shlex.split(command)]
    if "app.py" in words:
        return [], "app", words[words.index("app.py") + 1 :]
    start = words.index("-m")
    return words[:start], words[start + 1], words[start + 2 :]


def main_of(module: str):
    is_package = find_spec(module).submodule_search_locations
    return importlib.import_module(f"{module}.__main__" if is_package else module).main


class Understood(BaseException):
    """All options were read."""


@pytest.fixture
def stopped(monkeypatch):
    """Scripts go no further than to their options."""

    def and_stop(parse):
        def parse_and_stop(*given, **options):
            parse(*given, **options)
            raise Understood

        return parse_and_stop

    for parser, name in ((argparse.ArgumentParser, "parse_args"), (TrlParser, "parse_args_and_config")):
        monkeypatch.setattr(parser, name, and_stop(getattr(parser, name)))


def test_commands_are_found():
    assert len(COMMANDS) > 60
    assert {"training.sft", "training.grpo", "degradations", "app", "demo.vote"} <= {split(c)[1] for c in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_understood(command, monkeypatch, request):
    launcher, module, options = split(command)
    if "launch" in launcher:
        words = launcher[launcher.index("launch") + 1 :]
        told = launch_command_parser().parse_args([*words, "-m", module, *options])
        assert told.module and told.training_script == module and told.training_script_args == options
        assert told.config_file is None or Path(told.config_file).is_file()
    for word in options:
        if word.startswith(("training/", "demo/", "examples/")):
            assert (ROOT / word).exists(), word
    if "--config" in options and "launch" in launcher and "use_cpu: true" not in config_of(options):
        options = [*options, *ON_THE_CPU]
    request.getfixturevalue("stopped")
    monkeypatch.setattr(sys, "argv", [module, *options])
    with pytest.raises(Understood):
        main_of(module)()


def config_of(options: list[str]) -> str:
    return (ROOT / options[options.index("--config") + 1]).read_text()


@pytest.mark.parametrize("module", sorted({split(command)[1] for command in COMMANDS}))
def test_help_lists_the_options(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit) as ended:
        main_of(module)()
    assert ended.value.code == 0 and "usage:" in capsys.readouterr().out
