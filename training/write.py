"""Write the chains of samples: ``python -m training.write SAMPLES --writer truth`` (or ``endpoint``).

SAMPLES, a folder of ``training.synthesize``, receives ``chains.jsonl`` with rows {"id", "chain", "writer"} and
``rejected.jsonl`` with rows {"id", "reason", "chain"}; its folder ``chains/`` keeps the settings and, of an endpoint,
every answer. The same command goes on with what was stopped; a finished run changes nothing.

The truth writer phrases what it knows of a sample; it needs no model. The endpoint writer asks a vision-language model
behind any OpenAI-compatible endpoint:

    export KEY=...
    python -m training.write SAMPLES --writer endpoint --base-url https://HOST/v1 --model NAME --api-key-env KEY

Exit status: 0 all samples have a chain or are rejected, 2 the command or the endpoint refuses, 3 stopped by something
that may pass, 130 stopped by Ctrl-C.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from degradations.jobs import OtherRunError, StoppedError, alone_in, claim, read_table
from training import chains, phrases
from training.chains import write_chain
from training.data import read_samples
from training.endpoint import Endpoint, EndpointWriter
from training.written import Answers, appending

KEPT = "chains"
"""Folder beside the tables: the run's settings and an endpoint's answers."""


class Writer(Protocol):
    """Something that writes chains; `TruthWriter` and `EndpointWriter` are such.

    Attributes:
        name: what rows of ``chains.jsonl`` call it.
        settings: what its chains follow from, as JSON can hold it.
    """

    name: str
    settings: dict

    def write(self, samples: list[dict], record: Callable[..., None], folder: Path) -> None: ...


class TruthWriter:
    """Chains by the writer that knows the truth; the arguments are those of `write_chain`."""

    name = "truth"

    def __init__(self, seed: int = 0, step: float = 0.01, index: bool = True):
        self.options = {"seed": seed, "step": step, "index": index}
        self.settings = {
            "seed": seed,
            "intensity_step": step,
            "answer": "index" if index else "words",
            "wording": _fingerprint(chains.__file__, phrases.__file__),
        }

    def write(self, samples: list[dict], record: Callable[..., None], folder: Path) -> None:
        for sample in samples:
            try:
                chain = write_chain(sample, **self.options)
            except ValueError as error:
                record(sample, "", str(error))
            else:
                record(sample, chain)


def write_chains(folder: Path, writer: Writer, limit: int | None = None) -> int:
    """Have a writer write what is missing of the chains of a folder of samples.

    Args:
        limit: write only for the first so many samples.

    Returns:
        How many samples were chained or rejected now; 0 where nothing was missing.

    Raises:
        ValueError: the folder holds no samples, or chains of another run; or what the writer raises.
        StoppedError: another run is at work in the folder; or what the writer raises.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; give one that python -m training.synthesize made")
    with alone_in(folder):
        samples = read_samples(folder, limit, exchanged=True)
        tables = folder / "chains.jsonl", folder / "rejected.jsonl"
        _claim(folder / KEPT, {"writer": writer.name, **writer.settings}, tables)
        done = {row["id"] for table in tables for row in read_table(table)}
        missing = [sample for sample in samples if sample["id"] not in done]
        if missing:
            _write(missing, len(samples), writer, folder, tables)
        return len(missing)


def _claim(kept: Path, settings: dict, tables: tuple[Path, ...]) -> None:
    """Have the folder's chains for this run alone."""
    anew = f"to have all chains written anew, delete {kept}, {' and '.join(table.name for table in tables)}"
    if not kept.exists():
        for table in tables:
            if table.exists():
                raise OtherRunError(f"{table} was not written by this command; move it away first")
    try:
        claim(kept, settings)
    except OtherRunError as error:
        raise OtherRunError(f"{error} Or, {anew}.") from error


def _write(missing: list[dict], count: int, writer: Writer, folder: Path, tables: tuple[Path, Path]) -> None:
    bar = tqdm(total=count, initial=count - len(missing), desc="chains", unit=" samples")
    with bar, appending(tables[0]) as add_chain, appending(tables[1]) as add_rejected:
        rejected = 0

        def record(sample: dict, chain: str, reason: str | None = None) -> None:
            nonlocal rejected
            if reason is None:
                add_chain({"id": sample["id"], "chain": chain, "writer": writer.name})
            else:
                add_rejected({"id": sample["id"], "reason": reason, "chain": chain})
                rejected += 1
                bar.set_postfix(rejected=rejected, refresh=False)
            bar.update()

        writer.write(missing, record, folder / KEPT)


def _fingerprint(*files: str) -> str:
    """Tells apart the wording of one version of the code and of another."""
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()[:16]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    index = options.answer == "index"
    status = 0
    try:
        if options.writer == "truth":
            writer = TruthWriter(options.seed, options.intensity_step, index)
        else:
            writer = EndpointWriter(_endpoint(options), options.intensity_step, index)
        if not write_chains(options.samples, writer, options.limit):
            _say("All chains were written before; nothing is changed.")
    except ValueError as error:
        return _say(f"{parser.prog}: {error}", 2)
    except (StoppedError, OSError) as error:
        status = _say(f"Stopped: {error}.", 3)
    except KeyboardInterrupt:
        status = _say("\nStopped. The same command goes on from here.", 130)
    _report(options)
    return status


def _endpoint(options: argparse.Namespace) -> Endpoint:
    """
    Raises:
        ValueError: an option is lacking, or the environment variable of the key.
    """
    for name in ("base_url", "model"):
        if not getattr(options, name):
            raise ValueError(f"the endpoint writer needs --{name.replace('_', '-')}")
    key = None
    if options.api_key_env:
        key = os.environ.get(options.api_key_env)
        if not key:
            raise ValueError(f"the environment variable {options.api_key_env} is empty; put the API key into it")
    names = ("base_url", "model", "concurrency", "attempts", "retries", "timeout", "request")
    return Endpoint(key=key, **{name: getattr(options, name) for name in names})


def _report(options: argparse.Namespace) -> None:
    chained, rejected = (
        sum(1 for _ in read_table(options.samples / name)) for name in ("chains.jsonl", "rejected.jsonl")
    )
    _say(f"{options.samples}: {chained} chains, {rejected} samples rejected.")
    answers = options.samples / KEPT / "answers.jsonl"
    if answers.exists():
        totals = Answers(answers).totals
        _say(f"Paid: {totals}, {totals.cost(options.price_in, options.price_out):.4f} at the prices given.")


def _say(text: str, status: int = 0) -> int:
    print(text, file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m training.write", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("samples", type=Path, metavar="SAMPLES", help="folder of samples")
    add("--writer", choices=("truth", "endpoint"), default="truth", help="default: %(default)s")
    add("--answer", choices=("index", "words"), default="index", help="what ANSWER holds (default: %(default)s)")
    add("--intensity-step", type=_step, default=0.01, help="intensities as multiples of this (default: %(default)s)")
    add("--limit", type=int, help="only the first so many samples; a later run goes on with the others")
    add("--seed", type=int, default=0, help="of the truth writer's wording (default: %(default)s)")
    endpoint = parser.add_argument_group("the endpoint writer")
    add = endpoint.add_argument
    add("--base-url", help="such as http://127.0.0.1:8000/v1")
    add("--model", help="what the endpoint calls the model")
    add("--api-key-env", metavar="NAME", help="environment variable that holds the API key, if one is needed")
    add("--concurrency", type=int, default=Endpoint.concurrency, help="requests at once (default: %(default)s)")
    add("--attempts", type=int, default=Endpoint.attempts, help="answers to a step until one is of use (%(default)s)")
    add("--retries", type=int, default=Endpoint.retries, help="of a request without an answer (%(default)s)")
    add("--timeout", type=float, default=Endpoint.timeout, help="seconds to wait for an answer (%(default)s)")
    add(
        "--request",
        type=_json_object,
        default={},
        metavar="JSON",
        help="further fields of each request, such as '{\"temperature\": 0.7}'; null takes max_completion_tokens away",
    )
    add("--price-in", type=float, default=0.0, help="of a million tokens read, in any currency")
    add("--price-out", type=float, default=0.0, help="of a million tokens written")
    return parser


def _step(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"must lie in (0, 1], got {text}")
    return number


def _json_object(text: str) -> dict:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"""must be a JSON object such as '{{"temperature": 0.7}}', got {text}""")
    return value


if __name__ == "__main__":
    sys.exit(main())
