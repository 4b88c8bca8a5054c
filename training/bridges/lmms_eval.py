"""Our models in lmms-eval: a model that its registry finds by an entry point.

From this repository's folder, beside an installed lmms-eval::

    pip install --no-deps -e training/bridges/lmms_plugin
    python -m lmms_eval --config training/configs/lmms_eval.yaml
"""

from lmms_eval.api.model import lmms
from tqdm import tqdm

from training.bridges.answerer import Answerer
from training.evaluation.shards import this_process

NAME = "robust_chain"


class RobustChain(lmms):
    """A model that is asked for a chain; answers are letters where there are options.

    Args:
        pretrained: Hub name or folder; the others are those of `training.bridges.answerer.Answerer`. What lmms-eval
            passes to every model besides (``batch_size``, ``device`` and more) plays no part.
    """

    is_simple = True

    def __init__(
        self, pretrained: str, adapter: str | None = None, prompt_file: str | None = None,
        max_new_tokens: int | None = None, raw: str | None = None, dtype: str = "auto",
        by_index: bool = True, **_,
    ):  # fmt: skip
        super().__init__()
        shard = this_process()
        self._rank, self._world_size = shard.rank, shard.count
        budget = {"max_new_tokens": max_new_tokens} if max_new_tokens else {}
        self.answerer = Answerer(
            pretrained, adapter, prompt_file, raw=raw, dtype=dtype, by_index=bool(int(by_index)), **budget
        )

    def generate_until(self, requests) -> list[str]:
        """One answer a request. A task's own ``max_new_tokens`` would cut a chain off and is left aside."""
        answers = []
        for request in tqdm(requests, desc=NAME, disable=self.rank != 0):
            question, _, doc_to_visual, doc_id, task, split = request.args
            pictures = [picture.convert("RGB") for picture in doc_to_visual(self.task_dict[task][split][doc_id])]
            answers.append(self.answerer.answer(pictures, question, place=f"{task} {split} {doc_id}"))
        return answers

    def loglikelihood(self, requests):
        raise NotImplementedError(f"{NAME} writes chains; tasks that compare likelihoods have no use for them")

    def generate_until_multi_round(self, requests):
        raise NotImplementedError(f"{NAME} answers one question about its pictures, not several rounds")


def manifest():
    """What lmms-eval's registry reads."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id=NAME, simple_class_path="training.bridges.lmms_eval.RobustChain")
