"""Which weights a model has, as a hash: what a run, a link and an evaluation say about who answered."""

import hashlib
import json
import re

from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel

WRAPPED = re.compile(r"\.(base_layer|original_module)\b")
SAVED = ".modules_to_save."
"""What PEFT adds to the names of weights that an adapter stands beside, and of its copies of whole modules."""


def weights_hash(model: PreTrainedModel | PeftModel, adapter: str | None) -> str:
    """A hash of about a thousand numbers of every weight, and of the adapter's scales."""
    digest = hashlib.sha256()
    add_weights(digest, model, adapter)
    return digest.hexdigest()


def add_weights(digest, model: PreTrainedModel | PeftModel, adapter: str | None) -> None:
    """Add to a hash what `weights_hash` is of."""
    state = (model.get_base_model() if isinstance(model, PeftModel) else model).state_dict()
    # Names of the checkpoint's own weights, whatever adapters are on it.
    weights = {WRAPPED.sub("", name): state[name] for name in state if "lora_" not in name and SAVED not in name}
    if adapter:
        weights |= get_peft_model_state_dict(model, adapter_name=adapter, save_embedding_layers=False)
        layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}
        scales = {name: layer.scaling[adapter] for name, layer in layers.items() if adapter in layer.scaling}
        digest.update(json.dumps(scales, sort_keys=True).encode())
    for name in sorted(weights):
        some = weights[name].flatten()[:: max(1, weights[name].numel() // 1000)]
        digest.update(name.encode() + some.float().cpu().numpy().tobytes())
