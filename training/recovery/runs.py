"""A run of a recovery stage: its arguments, its trainer, what it leaves behind."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments

from demo.recovery.nafnet import NAFNet, of_weights
from demo.recovery.network import WEIGHTS
from training.record import Clock, Run, keep_from_pushing, push
from training.recovery.pairs import Pairs, Photos
from training.resume import finished_checkpoint

USE = (
    "`python app.py --recovery {folder}` shows it as the demo's third column; `python -m training.recover_measure` "
    "measures it. The weights load in spandrel, too (architecture NAFNet)."
)


@dataclass
class RecoveryArguments:
    corpus: Path = field(metadata={"help": "folder of photos, as training.synthesize takes it"})
    size: int = field(default=256, metadata={"help": "longer side that photos are scaled to, in pixels"})
    section: int = field(default=128, metadata={"help": "side of the smaller views"})
    section_share: float = field(default=0.75, metadata={"help": "share of batches that are sections"})
    clean_share: float = field(default=0.1, metadata={"help": "share of pictures that stay clean"})
    split: str = field(default="train", metadata={"help": "of the corpus"})
    cache: Path = field(default=Path("data/photos"), metadata={"help": "folder for the decoded photos"})

    def photos(self) -> Photos:
        return Photos(self.corpus, self.split, self.size, self.cache)

    def pairs(self, training: TrainingArguments) -> Pairs:
        """All pairs of a run.

        Raises:
            ValueError: the run has no number of steps.
        """
        if training.max_steps < 1:
            raise ValueError(f"pairs are drawn for a number of steps: give max_steps, which is {training.max_steps}")
        count = training.max_steps * training.train_batch_size * training.gradient_accumulation_steps
        shares = {"section_share": self.section_share, "clean_share": self.clean_share}
        count *= max(1, training.world_size)
        return Pairs(self.photos(), count, training.seed, self.section, self.size, **shares)


class Progress(TrainerCallback):
    """Tells a model that asks for it (an attribute ``progress``) how much of its run is over, in [0, 1]."""

    def __init__(self, model: nn.Module):
        self.model = model

    def on_step_begin(self, args, state, control, **kwargs):
        if hasattr(self.model, "progress"):
            self.model.progress = state.global_step / state.max_steps


class FigureTrainer(Trainer):
    """Logs the means of what the model found out beside its loss (``figures`` of what its forward gives)."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self._found: dict[str, list[float]] = {}

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        found = model(**inputs)
        for name, value in found.get("figures", {}).items():
            self._found.setdefault(name, []).append(value.item())
        return (found["loss"], found) if return_outputs else found["loss"]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs |= {name: sum(values) / len(values) for name, values in self._found.items() if values}
            self._found = {}
        super().log(logs, start_time)


def train(
    model: nn.Module,
    network: nn.Module,
    pairs: Pairs,
    training: TrainingArguments,
    run: Run,
    save=None,
    use: str = USE,
) -> TrainerState:
    """Train `model`, whose part `network` is what is kept; a killed run goes on from its last checkpoint.

    Args:
        save: called with the output folder, writes what is kept; by default `network`'s weights as `WEIGHTS`.
    """
    output = Path(training.output_dir)
    training.remove_unused_columns = False
    training.label_names = ["clean"]
    pushed = keep_from_pushing(training)
    trainer = FigureTrainer(
        model,
        training,
        train_dataset=pairs,
        optimizers=(_optimizer(network, training), None),
        callbacks=[Clock(), Progress(model)],
    )
    trainer.train(resume_from_checkpoint=finished_checkpoint(output))
    if trainer.is_world_process_zero():
        if save is None:
            save_network(network, output)
        else:
            save(output)
        trainer.save_state()
        used = use.format(folder=output)
        run.write_card(output, trainer.state, "pytorch", used, pipeline="image-to-image")
        if pushed:
            push(output, training)
    trainer.accelerator.wait_for_everyone()
    return trainer.state


def _optimizer(network: nn.Module, training: TrainingArguments) -> torch.optim.Optimizer:
    """AdamW with the published betas."""
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    betas = (training.adam_beta1, training.adam_beta2)
    return torch.optim.AdamW(weights, training.learning_rate, betas, weight_decay=training.weight_decay)


def save_network(network: nn.Module, folder: Path) -> None:
    """The weights alone, under the architecture's own keys, in float32."""
    state = {key: value.detach().float().cpu().contiguous() for key, value in network.state_dict().items()}
    save_file(state, folder / WEIGHTS, {"architecture": "NAFNet"})


def start_from(folder: Path | None, **shape) -> NAFNet:
    """The network of an earlier run, or a new one of this shape, which begins by leaving pictures as they are."""
    if folder is None:
        network = NAFNet(**shape)
        for parameter in network.ending.parameters():
            nn.init.zeros_(parameter)
        return network
    return of_weights(load_file(Path(folder) / WEIGHTS))


def as_float(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 pictures to [0, 1], channels last in memory, which convolutions keep: faster on CPUs.

    The weights stay as they are, as a checkpoint can hold no others.
    """
    return (pictures.float() / 255).contiguous(memory_format=torch.channels_last)
