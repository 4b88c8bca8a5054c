"""The third column: a recovery, and the model that answers from the degraded and the recovered picture together."""

import argparse
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo import checkpoints, settings
from demo.chain import JOINT_PREFACE, build_prompt
from demo.checkpoints import CheckpointError
from demo.fingerprint import weights_hash
from demo.models import Pair, Side, short_name
from demo.recovery.attempt import Recovery
from demo.recovery.network import WEIGHTS, load_network
from demo.recovery.server import Server, ServerRecovery, answers
from demo.replies import Event
from demo.streaming import on_gpu
from demo.texts import Text

log = logging.getLogger(__name__)

NAME = "recovered"
"""The side that answers from both pictures; also what its adapter is called in the checkpoint."""
ADAPTER, PROMPT = "adapter", "prompt.txt"
"""What lies beside the weights of a recovery that a model was trained to answer from; the prompt may be missing."""
NONE = "none"
"""What chooses no recovery at all."""


@dataclass(frozen=True, eq=False)
class Speaker:
    """A side whose model is elsewhere."""

    name: str
    label: Text | str
    weights: None = None
    """Which weights answer there, nobody says."""


@dataclass(frozen=True, eq=False)
class Joint:
    """A recovery with the side that answers from both pictures; `demo.streaming.stream` takes it as it takes a pair.

    Attributes:
        recovery: makes the second picture.
        side: answers, by the name `NAME`.
        answers: the generator function behind `demo.streaming.stream`.
        notice: what the page says about who recovers and who answers.
        adapter: folder of the adapter that was trained on both pictures, None without one.
    """

    recovery: Recovery
    side: Side | Speaker
    answers: Callable[..., Iterator[Event]]
    max_new_tokens: int
    notice: Text
    adapter: str | None = None

    @property
    def sides(self) -> tuple[Side | Speaker]:
        return (self.side,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a recovery to a command line; `joint_from` reads it."""
    group = parser.add_argument_group("recovery", "A third column: recover the picture, then ask about both.")
    variable = settings.RECOVERY_ENVIRONMENT
    group.add_argument(
        "--recovery",
        help=f"folder or file of a recovery network, MODEL@URL of a server, or {NONE} ({variable['recovery']}; "
        "default: the one that ships)",
    )
    group.add_argument(
        "--recovery-adapter",
        help="LoRA adapter of the degradation-aware side that was trained on both pictures "
        f"({variable['recovery_adapter']}; default: the one beside the network)",
    )


def joint_from(args: argparse.Namespace, pair: Pair, environ: Mapping[str, str] = os.environ) -> Joint | None:
    """What `add_arguments` and the environment choose; the command line comes first.

    Returns:
        None where no recovery is wanted, or none is chosen and none ships.

    Raises:
        CheckpointError: what was chosen cannot be had.
        ValueError: a server's address or request that cannot be read.
    """
    names = settings.RECOVERY_ENVIRONMENT
    chosen = {name: getattr(args, name) or environ.get(variable) for name, variable in names.items()}
    source = chosen["recovery"]
    if source == NONE:
        return None
    if not source:
        if not (settings.RECOVERY / WEIGHTS).exists():
            log.info("No recovery network ships with this version: the third column is off.")
            return None
        source = str(settings.RECOVERY)
    if "@http" in source:
        server = Server.parse(source, environ.get(settings.RECOVERY_KEY), environ.get(settings.RECOVERY_REQUEST))
        return of_server(server, pair)
    return of_network(source, pair, chosen["recovery_adapter"])


def of_network(source: str, pair: Pair, adapter: str | None = None) -> Joint:
    """A network that is loaded here, and the pair's own degradation-aware checkpoint.

    Args:
        adapter: of that checkpoint, trained on both pictures; by default the one beside the network, if there is one
            and the checkpoint is the one that it was made for.

    Raises:
        CheckpointError: the network, or an adapter that was named, cannot be had.
    """
    recovery = load_network(source)
    own = Path(source) / ADAPTER
    if adapter is None and pair.spec.name == "embedded" and (own / "adapter_config.json").exists():
        adapter = str(own)
    checkpoint, robust = pair.robust.checkpoint, pair.robust
    name, label, weights = robust.adapter, robust.label, robust.weights
    if adapter:
        checkpoints.find(adapter, "adapter_config.json")
        checkpoint.add_adapter(adapter, NAME)
        if not checkpoint.mixes():
            raise CheckpointError(f"{adapter}: only a plain LoRA adapter of the language model can stand beside others")
        name, label = NAME, f"{short_name(pair.spec.robust)} + {short_name(adapter)}"
        weights = weights_hash(checkpoint.model, NAME)
    written = Path(adapter) / PROMPT if adapter else None
    template = written.read_text(encoding="utf-8").strip() if written and written.exists() else None
    prompt = template or JOINT_PREFACE + robust.prompt
    side = Side(NAME, label, prompt, checkpoint, name, weights, robust.by_index)
    notice = Text("recovery.notice" if adapter else "recovery.notice-untrained", recovery=recovery.name, model=label)
    return Joint(recovery, side, on_gpu((side,)), pair.max_new_tokens, notice, adapter)


def of_server(server: Server, pair: Pair) -> Joint:
    """A server that recovers and answers."""
    template = JOINT_PREFACE + pair.robust.prompt

    def ask(images, question, temperature, max_new_tokens, seed, stop=None) -> Iterator[Event]:
        prompt = build_prompt(question, template)
        yield from answers(server, NAME, images, prompt, temperature, max_new_tokens, seed, stop)

    side = Speaker(NAME, server.model)
    notice = Text("recovery.notice-server", model=server.model, url=server.url)
    return Joint(ServerRecovery(server), side, ask, settings.NEW_TOKENS, notice)
