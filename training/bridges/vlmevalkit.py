"""Our models in VLMEvalKit: a model class, and the entries for its table of models.

In a checkout of VLMEvalKit, with this repository on PYTHONPATH::

    from training.bridges.vlmevalkit import MODELS
    from vlmeval.config import supported_VLM
    supported_VLM.update(MODELS)

after which ``run.py --model robust-r1-rl --data MMStar`` asks for chains and scores the letters.
"""

from functools import partial

from PIL import Image
from vlmeval.dataset import DATASET_TYPE
from vlmeval.vlm.base import BaseModel

from demo.settings import EMBEDDED, PRESETS
from training.bridges.answerer import Answerer
from training.evaluation.tsv import question_of_row


class RobustChain(BaseModel):
    """A model that is asked for a chain.

    Args:
        model_path: Hub name or folder; the others are those of `training.bridges.answerer.Answerer`.
    """

    INTERLEAVE = False

    def __init__(self, model_path: str, **options):
        super().__init__()
        self.answerer = Answerer(model_path, **options)

    def use_custom_prompt(self, dataset: str) -> bool:
        """Questions with options are worded as the model has learned them."""
        return DATASET_TYPE(dataset) == "MCQ"

    def build_prompt(self, line, dataset: str | None = None) -> list[dict]:
        """Pictures, then the question with its options as VLMEvalKit's table has them."""
        pictures = self.dump_image(line, dataset)
        pictures = pictures if isinstance(pictures, list) else [pictures]
        question = question_of_row({name: str(value) for name, value in dict(line).items()})
        return [*({"type": "image", "value": path} for path in pictures), {"type": "text", "value": question}]

    def generate_inner(self, message: list[dict], dataset: str | None = None) -> str:
        """The answer to a message of pictures (paths) and texts."""
        pictures = []
        for part in message:
            if part["type"] == "image":
                with Image.open(part["value"]) as image:
                    pictures.append(image.convert("RGB"))
        text = "\n".join(part["value"] for part in message if part["type"] == "text")
        return self.answerer.answer(pictures, text, place=str(dataset))


_EMBEDDED = PRESETS["embedded"]
MODELS = {
    "robust-r1-sft": partial(RobustChain, model_path=PRESETS["robust-r1-sft"].robust),
    "robust-r1-rl": partial(RobustChain, model_path=PRESETS["robust-r1"].robust),
    "embedded-robust": partial(
        RobustChain,
        model_path=_EMBEDDED.robust,
        adapter=_EMBEDDED.adapter,
        prompt_file=str(EMBEDDED / "prompt.txt"),
        max_new_tokens=_EMBEDDED.max_new_tokens,
        dtype=_EMBEDDED.dtype,
        by_index=False,
    ),
}
"""Name in VLMEvalKit -> what makes the model."""
