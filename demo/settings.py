"""Every default value, once: what the page, the command line and the tests read."""

import os
from dataclasses import dataclass
from pathlib import Path

from degradations import COPIES

# Which models run

NEW_TOKENS = 1024
"""How long an answer may get unless the visitor says otherwise: the published setting."""

EMBEDDED = Path(__file__).parent / "embedded"
"""The folder of the shipped pair: ``base``, ``adapter`` and ``prompt.txt``."""


@dataclass(frozen=True)
class Spec:
    """Which pair to load. Checkpoints are Hub names or folders.

    Attributes:
        name: the preset's name, or ``custom``.
        baseline: checkpoint that answers directly.
        robust: checkpoint that answers with a chain; the baseline's own makes one batch of both sides.
        adapter: LoRA adapter on the robust side, or None.
        prompt_file: the robust side's prompt template, with ``{question}`` in it; None for `demo.chain.DEFAULT_PROMPT`.
        max_new_tokens: what `NEW_TOKENS` is for this pair.
        min_pixels, max_pixels: size of a photo for checkpoints that take any size (Qwen2.5-VL).
        dtype: ``auto`` chooses by device; otherwise a torch dtype's name.
        by_index: whether the robust side answers by the option's index: its ``2`` is not the option that says 2.
    """

    name: str
    baseline: str
    robust: str
    adapter: str | None = None
    prompt_file: str | None = None
    max_new_tokens: int = NEW_TOKENS
    min_pixels: int = 256 * 28 * 28
    max_pixels: int = 1280 * 28 * 28
    dtype: str = "auto"
    by_index: bool = False


@dataclass(frozen=True)
class Bounds:
    """What an archive, a folder or a dataset may hold: so many files, and bytes of each and of all together."""

    files: int
    file_bytes: int
    bytes: int


PRESETS = {
    spec.name: spec
    for spec in (
        Spec(
            "embedded",
            baseline=str(EMBEDDED / "base"),
            robust=str(EMBEDDED / "base"),
            adapter=str(EMBEDDED / "adapter"),
            prompt_file=str(EMBEDDED / "prompt.txt"),
            max_new_tokens=320,
            dtype="float32",
        ),
        Spec("robust-r1", baseline="Qwen/Qwen2.5-VL-3B-Instruct", robust="Jiaqi-hkust/Robust-R1-RL", by_index=True),
        Spec(
            "robust-r1-sft", baseline="Qwen/Qwen2.5-VL-3B-Instruct", robust="Jiaqi-hkust/Robust-R1-SFT", by_index=True
        ),
    )
}

BY_INDEX = frozenset(spec.robust for spec in PRESETS.values() if spec.by_index)
"""Checkpoints that answer by the option's index, also where no preset names them."""

PRESET_WITHOUT_GPU = "embedded"
PRESET_WITH_GPU = "robust-r1"
"""The default with CUDA or ZeroGPU and a Hub that answers."""

ENVIRONMENT = {
    "preset": "DEMO_PRESET",
    "model": "DEMO_MODEL",
    "baseline": "DEMO_BASELINE",
    "adapter": "DEMO_ADAPTER",
    "prompt_file": "DEMO_PROMPT_FILE",
    "by_index": "DEMO_BY_INDEX",
}
"""The environment variable for each of the command line's choices; the command line comes first."""

YES = ("1", "true", "yes", "on")
NO = ("0", "false", "no", "off")


def yes_or_no(name: str, said: object) -> bool | None:
    """A switch as an environment variable or a table has it; None where nothing is said.

    Raises:
        ValueError: it is neither; the text has the name.
    """
    word = str("" if said is None else said).strip().lower()
    if word not in ("", *YES, *NO):
        raise ValueError(f"{name} is {said!r}; give 1 or 0")
    return word in YES if word else None


HUB_TIMEOUT_S = 3.0
"""How long the Hub may take to say that it has a checkpoint."""

SMALL_MODEL_PARAMETERS = 100_000_000
"""Below this a model runs on one core per batch: splitting its small matrices costs more than it gains."""

# How they answer

TEMPERATURE = 0.0
TOP_K = 50
"""Sampling chooses among this many tokens, as `generate` does by default."""
SEED = 0

# How answers are streamed

HEARTBEAT_S = 0.3
"""While no text comes, an empty event is sent this often, so that whoever reads can leave."""
FLUSH_S = 0.0
"""How long text is gathered before it is sent: not at all where the model runs in this process."""
ZERO_GPU_FLUSH_S = 0.25
"""On ZeroGPU every event crosses a process boundary."""
ZERO_GPU_START_S = 15
"""Seconds of GPU time for a cold start and the prompt."""
ZERO_GPU_TOKENS_PER_S = 16
"""A cautious speed of two 3B models at the same time; it sizes the GPU time that is asked for."""
ZERO_GPU_MORE_S = 2
"""Seconds for each further picture of a batch."""

# Recovering a picture before it is asked about

RECOVERY = EMBEDDED / "recovery"
"""The folder of the recovery network that ships: ``nafnet.safetensors``, and ``adapter`` for answers to two
pictures."""
RECOVERY_ENVIRONMENT = {"recovery": "DEMO_RECOVERY", "recovery_adapter": "DEMO_RECOVERY_ADAPTER"}
"""The environment variable for each choice of `demo.recovery.joint`; the command line comes first."""
RECOVERY_TILE = 384
"""Longest side of what goes through the network at once, in pixels; larger pictures are cut into tiles."""
RECOVERY_OVERLAP = 48
"""Pixels by which tiles overlap at least."""
RECOVERY_LIMIT_S = 120.0
"""A recovery that takes longer has failed."""
RECOVERY_SLOW_S = 5.0
"""After this the page says that it takes long."""
RECOVERY_KEY = "DEMO_RECOVERY_KEY"
"""The environment variable for the key of a server that recovers: never on a command line, where others read it."""
RECOVERY_REQUEST = "DEMO_RECOVERY_REQUEST"
"""The environment variable for further fields of the requests to such a server; see `demo.recovery.server`."""
MAX_RECOVERED_BYTES = 40_000_000
"""Of what a server sends for a recovered picture."""
MAX_SENT_SIDE = 1536
"""Longer side of a picture that is sent to a server."""
SERVER_TIMEOUT_S = 90.0
"""How long a server may take for a recovery, or for the first words of an answer."""
SERVER_RETRIES = 2
CLIP = os.environ.get("DEMO_CLIP") or "openai/clip-vit-base-patch32"
"""Measures semantic similarity, if its weights are on this machine (DEMO_CLIP: Hub name or folder)."""

# What a visitor may send

MAX_PHOTO_BYTES = 20_000_000
MAX_PHOTO_PIXELS = 50_000_000
MAX_QUESTION_CHARACTERS = 2_000
MAX_SEED = 2**31 - 1
MAX_TEMPERATURE = 2.0
MAX_NEW_TOKENS = 2048

# The page

STRENGTHS = {f"{copy} %": intensity for copy, intensity in COPIES.items()}
"""The published benchmarks' three strengths: what the button says -> intensity."""
SHUFFLED_TYPES = (1, 4)
"""Least and most degradations of a shuffled recipe."""
UPDATE_S = 0.2
"""How often the answers are redrawn."""
STOP_PATIENCE_S = 5.0
"""How long Stop waits for the models' last words before it cuts them off."""
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
RUNS = EXAMPLES / "runs"
"""Recorded runs of the examples: one JSON each, named as the photo."""
DECKS = Path(os.environ.get("DEMO_DECKS") or EXAMPLES / "decks")
"""Decks that a link may name; whoever starts the server chooses the folder (DEMO_DECKS)."""
MAX_DECK_CHARACTERS = 200_000
MAX_RECORDING_BYTES = 16_000_000
"""Two pictures of a million pixels of pure noise fit in, as base64."""
LONGEST_RUN_S = 3600
"""What a recording may take at its true pace; whoever plays one has one of few places."""
MOST_PLAYED = 8
"""How many recordings may be played at the same time."""
READABLE_CHARACTERS_PER_S = 30.0
"""How fast a hall reads along."""
SWEEP_STEPS = 11
"""Strengths of a sweep, from none to all, unless the visitor says otherwise."""
SWEEP_TYPE = "gaussian noise"
MOST_SWEEP_STEPS = 21
MOST_SWEEP_SEEDS = 5
SWEEP_BATCH = 12
"""How many pictures of a sweep, or of a batch to annotate, go through the models at once; each is a row a side."""
SWEEP_UPDATE_S = 0.6
"""How often the results of a sweep are redrawn; they are many."""
SWEEP_STOP_PATIENCE_S = 60.0
"""How long Stop waits for what is there to be written to files."""
THUMBNAIL = 160
"""Longer side of a thumbnail, in pixels."""
QUEUE_LENGTH = 16
"""How many questions may wait; more are turned away at once."""
DEGRADE_CONCURRENCY = 2
"""How many photos of full size are degraded at once."""
ROUGH_PREVIEW_PIXELS = 300_000
"""Above this a slow degradation is shown roughly while a slider moves, until the real picture is there."""
FITTED_PHOTOS_KEPT = 16
"""Photos kept at working size, so that a slider need not decode the upload at every step."""
DEGRADED_PHOTOS_KEPT = 16
"""Degraded photos kept at working size."""
UPLOADS_KEPT_S = 3600
"""Uploads and previews older than this are deleted."""

# Annotating

ANNOTATE_QUESTION = "What is the main object?"
"""What models are asked about pictures that come without a question."""
BATCH_BOUNDS = Bounds(files=20_000, file_bytes=MAX_PHOTO_BYTES, bytes=2_000_000_000)
"""What an archive, a folder or a dataset of a visitor's may hold, unpacked."""
MAX_FETCHED_BYTES = 500_000_000
"""Of an archive that is fetched from an address."""
MOST_PER_ITEM = 20
"""How many annotators one item may be handed to."""
ANNOTATION_SECRET = "DEMO_ANNOTATION_SECRET"
"""The environment variable for what annotators' keys are made of: never on a command line, where others read it."""
DATA = "data/annotations"
"""The folder of the database and of its pictures."""
PUSH_MINUTES = 10.0
FIGURES_S = 10.0
"""How often open figures are drawn anew."""

# Sharing

SHARE_DAYS = 30.0
"""How long a photo that was shared stays; whoever starts the server may say otherwise."""
MOST_SHARED = 2_000
"""How many photos may be shared at the same time."""
MOST_SHARED_BYTES = 1_000_000_000
SWEEP_SHARED_S = 3600
"""How often expired photos are deleted."""
MAX_LINK_CHARACTERS = 30_000

# Voting

BALLOTS_OPEN = 1_000
"""Pairs of answers that may wait for a vote; of more the oldest is forgotten."""
BALLOT_KEPT_S = 3600
MOST_VOTES = 200_000
"""Each takes a run of both models, and about 10 KB."""
