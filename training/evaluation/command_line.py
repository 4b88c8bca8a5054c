"""The command line of ``training.evaluate``: options from it and from a YAML, what they choose."""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from demo import settings
from training.endpoint import Endpoint
from training.evaluation.levels import LEVELS
from training.evaluation.sides import Side
from training.recovery.rewards import IMAGENET

SUFFIXES = (".tsv", ".csv", ".parquet", ".jsonl", ".json")
"""Of the tables that questions come in."""


def named_folder(text: str) -> tuple[str, Path]:
    """``NAME=FOLDER``, or a folder, which is called by its last part."""
    name, equals, folder = text.partition("=")
    return (name, Path(folder)) if equals else (Path(text).name, Path(text))


def named_source(text: str) -> tuple[str, str]:
    """``NAME=SOURCE``, or a source, which is called by its last part without a table's suffix and without split."""
    name, equals, source = text.partition("=")
    if equals:
        return name, source
    path = Path(text.partition("#")[0])
    return path.stem if path.suffix in SUFFIXES else path.name, text


def parse(description: str, words: Sequence[str]) -> argparse.Namespace:
    """Read a command line; ``--config`` puts the options of a YAML before it."""
    parser = build_parser(description)
    arguments = parser.parse_args(_with_config(list(words)))
    if not arguments.rescore and not (arguments.samples and (arguments.preset or arguments.side)):
        parser.error("sides (--preset or --side) and sets (--set or --samples) are needed, or --rescore")
    return arguments


def _with_config(words: list[str]) -> list[str]:
    """The words of a command line, with those of its configuration before them."""
    known, rest = _config_parser().parse_known_args(words)
    if known.config is None:
        return words
    told = yaml.safe_load(known.config.read_text())
    if not isinstance(told, dict):
        raise SystemExit(f"{known.config} is to hold options by their names, not {told!r}")
    before = []
    for name, value in told.items():
        option = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, list) else [value]:
            if one is True:
                before.append(option)
            elif one is not False and one is not None:
                before += [option, json.dumps(one) if isinstance(one, dict) else str(one)]
    return [*before, *rest]


def _config_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config", type=Path, help="YAML with the same options, by their names")
    return parser


def build_parser(description: str) -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=form, parents=[_config_parser()])
    add = parser.add_argument
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--preset", choices=list(settings.PRESETS), help="both sides of one of the demo's pairs")
    who.add_argument("--side", type=_side, action="append", metavar="NAME=MODEL", help="see above; several")
    text = "what to ask about; several"
    add(
        "--set",
        "--samples",
        dest="samples",
        type=named_source,
        action="append",
        default=[],
        metavar="[NAME=]SOURCE",
        help=text,
    )
    text = f"states of tables and JSON Lines: some of {','.join(LEVELS)}, or a folder of copies (default: all)"
    add("--levels", default=",".join(LEVELS), help=text)
    add("--level-seed", type=int, default=0, help="deals the types of degradation (default: %(default)s)")
    text = "dataset folder whose written chains are measured, too; several"
    add("--data", type=named_folder, action="append", default=[], metavar="[NAME=]FOLDER", help=text)
    add("--output", type=Path, required=True, help="folder for answers and figures; an unfinished run in it goes on")
    add("--rescore", action="store_true", help="measure the stored answers of OUTPUT's last run again; asks no model")
    add("--renew", action="store_true", help="ask anew where a side or a picture is not what its name stood for")
    add("--prompt-file", help="the prompt for a chain, with {question} in it (default: the preset's, or the demo's)")
    text = f"where answers are cut off (default: the preset's, or {settings.NEW_TOKENS})"
    add("--max-new-tokens", type=int, help=text)
    add("--batch-size", type=int, default=32)
    add("--limit", type=int, help="use the first questions of every set only")
    text = "recovers the pictures of sides with ,sees=: a folder of a recovery, or MODEL@URL"
    add("--recovery", help=text)
    text = "what measures semantic similarity of recovered pictures: imagenet, or a CLIP (default: %(default)s)"
    add("--encoder", default=IMAGENET, help=text)
    text = "also time the first and the last side as the demo streams them; nothing else should run then"
    add("--speed", action="store_true", help=text)
    served = parser.add_argument_group("endpoints")
    add = served.add_argument
    add("--api-key-env", metavar="NAME", help="environment variable that holds the API key of sides, if one is needed")
    add("--concurrency", type=int, default=Endpoint.concurrency, help="requests at once (default: %(default)s)")
    add("--retries", type=int, default=Endpoint.retries, help="of a request without an answer (default: %(default)s)")
    add("--timeout", type=float, default=Endpoint.timeout, help="seconds to wait for an answer (default: %(default)s)")
    add("--request", type=json.loads, default={}, metavar="JSON", help="further fields of every request to a side")
    add("--judge", type=_judge_side, metavar="MODEL@URL", help="grades answers to questions without options")
    add("--judge-api-key-env", metavar="NAME", help="the judge's (default: that of --api-key-env)")
    return parser


def _side(text: str) -> Side:
    try:
        return Side.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _judge_side(text: str) -> Side:
    side = _side(f"judge={text}")
    if not side.url:
        raise argparse.ArgumentTypeError(f"a judge is MODEL@URL, not {text!r}")
    return side


# --- what it chooses ---


def chosen(arguments: argparse.Namespace) -> tuple[list[Side], settings.Spec]:
    """The sides, and the pair of the first and the last with its prompt, budgets and dtype.

    Raises:
        ValueError: two sides or two sets of one name, a speed of models that are elsewhere, or a prompt file that
            cannot be used.
    """
    if arguments.preset:
        spec = settings.PRESETS[arguments.preset]
        robust = Side("robust", spec.robust, spec.adapter, True, by_index=spec.by_index)
        sides = [Side("baseline", spec.baseline, None, False), robust]
    else:
        sides = arguments.side
        first, last = sides[0], sides[-1]
        spec = settings.Spec("custom", baseline=first.checkpoint, robust=last.checkpoint, adapter=last.adapter)
    for kind, names in (("sides", [s.name for s in sides]), ("sets", [name for name, _ in arguments.samples])):
        if len(set(names)) < len(names):
            raise ValueError(f"two {kind} have one name: {', '.join(names)}")
    if arguments.speed and (sides[0].url or sides[-1].url):
        raise ValueError("--speed streams the first and the last side here, and one of them is behind an endpoint")
    given = {name: getattr(arguments, name) for name in ("prompt_file", "max_new_tokens") if getattr(arguments, name)}
    return sides, replace(spec, **given)


def endpoint_of(
    arguments: argparse.Namespace, side: Side, key: str | None = None, request: dict | None = None
) -> Endpoint:
    """How to reach a side that is behind an endpoint.

    Raises:
        ValueError: the environment has no key of that name.
    """
    name = key or arguments.api_key_env
    if name and not os.environ.get(name):
        raise ValueError(f"the environment has no {name}, which is to hold the API key")
    return Endpoint(
        base_url=side.url,
        model=side.checkpoint,
        key=os.environ[name] if name else None,
        concurrency=arguments.concurrency,
        retries=arguments.retries,
        timeout=arguments.timeout,
        request=arguments.request if request is None else request,
    )


def judge_of(arguments: argparse.Namespace) -> Endpoint | None:
    if arguments.judge is None:
        return None
    return endpoint_of(arguments, arguments.judge, arguments.judge_api_key_env, {})
