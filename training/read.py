"""The vocabulary: embeddings for the chain's words, learned from text alone.

``python -m training.read --samples data/train --model runs/base-2 --output runs/base``

An adapter cannot change embeddings, and the base has never written most words of a chain: theirs are still random. Here
they learn from the chains as text, without pictures. Words that the base uses, and everything else in it, stay as they
are, so the baseline answers as before.
"""

import argparse
from pathlib import Path

import torch
from torch.nn import functional
from tqdm import tqdm
from transformers import AutoModelForImageTextToText, AutoProcessor, set_seed

from demo.chain import build_prompt
from training.chains import write_chain
from training.data import read_samples
from training.embedded import INTENSITY_STEP
from training.evaluate import question
from training.pretrain import TextSamples


def known_tokens(samples: TextSamples) -> torch.Tensor:
    """Ids of the tokens that the base was trained on."""
    return torch.tensor(sorted({token for item in range(len(samples)) for token in samples[item]["input_ids"]}))


def learn_words(
    model, processor, rows: list[dict], known: torch.Tensor, template: str, *, steps: int, batch_size: int, rate: float
) -> float:
    """Train the embeddings of unknown tokens in place; returns the last loss."""
    model.requires_grad_(False)
    embedding = model.get_input_embeddings().weight.requires_grad_(True)
    unknown = torch.ones(len(embedding), 1)
    unknown[known] = 0
    embedding.register_hook(lambda gradient: gradient * unknown)
    optimizer = torch.optim.AdamW([embedding], rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    order = torch.randperm(len(rows)).tolist()
    for step in (progress := tqdm(range(steps), desc="words")):
        batch = [rows[order[(step * batch_size + k) % len(order)]] for k in range(batch_size)]
        texts = [
            f"<|user|>{build_prompt(question(row), template)}<|end|><|assistant|>"
            f"{write_chain(row, step=INTENSITY_STEP)}<|end|>"
            for row in batch
        ]
        encoded = processor.tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model.model.language_model(**encoded, use_cache=False).last_hidden_state[:, :-1]
            there = encoded["attention_mask"][:, 1:].bool()
            logits = model.lm_head(hidden[there])
        loss = functional.cross_entropy(logits.float(), encoded["input_ids"][:, 1:][there])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress.set_postfix(loss=f"{loss.item():.3f}")
    return loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, required=True, help="folder made by training.synthesize")
    parser.add_argument("--model", type=Path, required=True, help="output of training.pretrain")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--prompt-file", type=Path, default=Path("demo/embedded/prompt.txt"))
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    set_seed(arguments.seed)
    rows = read_samples(arguments.samples)
    processor = AutoProcessor.from_pretrained(arguments.model)
    model = AutoModelForImageTextToText.from_pretrained(arguments.model, dtype=torch.float32)
    known = known_tokens(TextSamples(rows[:4000], processor, views=1, open_share=0.3, seed=arguments.seed))
    learn_words(
        model,
        processor,
        rows,
        known,
        arguments.prompt_file.read_text().strip(),
        steps=arguments.steps,
        batch_size=arguments.batch_size,
        rate=arguments.learning_rate,
    )
    model.half().save_pretrained(arguments.output, max_shard_size="8MB")
    processor.save_pretrained(arguments.output)


if __name__ == "__main__":
    main()
