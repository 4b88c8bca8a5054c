"""Streaming two answers, against plain `generate`."""

import pickle
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel
from PIL import Image
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForImageTextToText

from demo import generation, settings, streaming
from demo.checkpoints import Checkpoint
from demo.generation import Row
from demo.models import load_pair
from demo.replies import Event
from demo.settings import Spec
from demo.streaming import stream, stream_batch
from tests import tiny

QUESTION = "What is the main object?\n0. shirt\n1. hat"
TOKENS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    for name, make in (("fast_vlm", tiny.fast_vlm), ("qwen", tiny.qwen)):
        make(folder / name)
        tiny.adapter(folder / name, folder / f"{name}-adapter")
    tiny.fast_vlm(folder / "other", seed=5)
    return folder


def spec(folder, baseline="fast_vlm", robust=None, adapter=None, **options):
    path = lambda name: name and str(folder / name)  # noqa: E731
    options = {"max_new_tokens": TOKENS, "dtype": "float32", **options}
    return Spec("custom", path(baseline), path(robust or baseline), path(adapter), **options)


@pytest.fixture(scope="module")
def mixed(folder):
    return load_pair(spec(folder, adapter="fast_vlm-adapter"), fallback=False)


@pytest.fixture(scope="module")
def separate(folder):
    return load_pair(spec(folder, robust="other"), fallback=False)


@pytest.fixture(scope="module")
def image():
    return Image.effect_mandelbrot((224, 168), (-2, -1, 1, 1), 50).convert("RGB")


def ask(pair, image, **options):
    """Texts and last events, by side."""
    return collect(stream(pair, image, QUESTION, **{"temperature": 0, **options}))


def collect(events):
    texts, last = {"baseline": "", "robust": ""}, {}
    for event in events:
        assert event.side not in last, "an event after the last one"
        texts[event.side] += event.text
        if event.done:
            last[event.side] = event
        else:
            assert event.stats is None
            assert event.error is None
    return texts, last


def plain(side, folder, name, adapter, image, tokens=TOKENS):
    """What `generate` says for one side alone, with weights loaded for it alone."""
    model = AutoModelForImageTextToText.from_pretrained(folder / name)
    if adapter:
        model = PeftModel.from_pretrained(model, folder / adapter)
    inputs = side.checkpoint.inputs(image, [side.prompt_for(QUESTION)])
    model = model.to(side.checkpoint.base.device).eval()
    ids = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)[0, inputs["input_ids"].shape[1] :]
    return side.checkpoint.processor.tokenizer.decode(ids, skip_special_tokens=True)


def same(streamed, whole):
    """Equal but for a character that was cut in half at the end."""
    return streamed.rstrip("�") == whole.rstrip("�") != ""


@pytest.mark.parametrize("name", ["fast_vlm", "qwen"])
def test_one_batch_says_what_separate_runs_say(folder, image, name):
    pair = load_pair(spec(folder, name, adapter=f"{name}-adapter"), fallback=False)
    assert pair.baseline.checkpoint is pair.robust.checkpoint
    image = pair.fit(image)
    texts, last = ask(pair, image)
    assert same(texts["baseline"], plain(pair.baseline, folder, name, None, image))
    assert same(texts["robust"], plain(pair.robust, folder, name, f"{name}-adapter", image))
    assert texts["baseline"] != texts["robust"]
    for event in last.values():
        assert event.stats.tokens == event.tokens == TOKENS
        assert event.stats.stop_reason == "length"
        assert event.stats.ttft_s > 0
        assert event.stats.tokens_per_s > 0


@pytest.mark.parametrize("kind", ["mixed", "separate"])
def test_a_batch_of_pictures_says_what_each_alone_says(kind, image, request, monkeypatch):
    pair = request.getfixturevalue(kind)
    pictures = [image, image.rotate(90, expand=True).resize(image.size), image.point(lambda value: 255 - value)]
    alone = [ask(pair, picture)[0] for picture in pictures]
    # A tiny random model says much the same about everything, so what each row was shown is looked at, too.
    rows, inputs = [], Checkpoint.inputs
    monkeypatch.setattr(Checkpoint, "inputs", lambda self, *shown: (rows.extend(shown[0]), inputs(self, *shown))[1])
    together = [{"baseline": "", "robust": ""} for _ in pictures]
    ended = []
    for event in stream_batch(pair, pictures, QUESTION, temperature=0):
        together[event.picture][event.side] += event.text
        if event.done:
            ended.append((event.picture, event.side))
            assert event.stats.stop_reason == "length"
    assert together == alone
    assert all(sum(row is picture for row in rows) == 2 for picture in pictures)
    assert sorted(ended) == [(number, side) for number in range(3) for side in ("baseline", "robust")]


def test_a_batch_is_stopped_as_a_whole(mixed, image):
    stop = threading.Event()
    with Slow(mixed.baseline, 0.02):
        events = stream_batch(mixed, [image] * 3, QUESTION, temperature=0, max_new_tokens=500, stop=stop)
        run_until(events, 3)
        stop.set()
        reasons = [event.stats.stop_reason for event in events if event.done]
    assert reasons == ["stopped"] * 6


def test_two_prompts_on_one_checkpoint(folder, image):
    pair = load_pair(spec(folder), fallback=False)
    assert pair.baseline.checkpoint is pair.robust.checkpoint
    texts, _ = ask(pair, image)
    for side in pair.sides:
        assert same(texts[side.name], plain(side, folder, "fast_vlm", None, image))


def test_two_checkpoints(separate, folder, image):
    texts, _ = ask(separate, image)
    assert same(texts["baseline"], plain(separate.baseline, folder, "fast_vlm", None, image))
    assert same(texts["robust"], plain(separate.robust, folder, "other", None, image))


@pytest.mark.parametrize("make", [tiny.gemma3, tiny.internvl])
def test_other_families_as_baseline(make, folder, image):
    pair = load_pair(spec(folder, make(folder / make.__name__).name, robust="qwen"), fallback=False)
    image = pair.fit(image)
    texts, _ = ask(pair, image)
    assert same(texts["baseline"], plain(pair.baseline, folder, make.__name__, None, image))
    assert same(texts["robust"], plain(pair.robust, folder, "qwen", None, image))


def test_sampling_is_ruled_by_the_seed_alone(mixed, image):
    before = torch.get_rng_state()
    first, _ = ask(mixed, image, temperature=1.0, seed=7)
    torch.manual_seed(123)
    other, _ = ask(mixed, image, temperature=1.0, seed=8)
    again, _ = ask(mixed, image, temperature=1.0, seed=7)
    assert first == again
    assert first["baseline"] != other["baseline"]
    torch.set_rng_state(before)
    ask(mixed, image, temperature=1.0, seed=9)
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_follow_the_softmax(image):
    rows = 4000
    draw = generation.Draw(0.5, [0], torch.device("cpu"))
    scores = torch.tensor([[0.0, 0.5, 1.0, -20.0]])
    counts = torch.zeros(4)
    for _ in range(rows):
        counts[draw(None, scores).argmax()] += 1
    assert torch.allclose(counts / rows, (scores[0] / 0.5).softmax(0), atol=0.03)


class Slow:
    """Makes every step of a checkpoint take at least so long; can make it fail."""

    def __init__(self, side, seconds=0.0, fail_at=None):
        self._model, self._seconds, self._fail_at, self.steps = side.checkpoint.base, seconds, fail_at, 0

    def __enter__(self):
        self._handle = self._model.register_forward_pre_hook(self._step)
        return self

    def __exit__(self, *_):
        self._handle.remove()

    def _step(self, *_):
        self.steps += 1
        if self.steps == self._fail_at:
            raise RuntimeError("out of memory\nwith details")
        time.sleep(self._seconds)


def run_until(events, tokens):
    """Read until the first side has said so many tokens."""
    for event in events:
        if event.tokens >= tokens:
            return


@pytest.mark.parametrize("kind", ["mixed", "separate"])
def test_stop_ends_generation_within_a_token(kind, image, request):
    pair, stop = request.getfixturevalue(kind), threading.Event()
    with Slow(pair.baseline, 0.02) as one, Slow(pair.robust, 0.02):
        events = stream(pair, image, QUESTION, temperature=0, max_new_tokens=500, stop=stop)
        run_until(events, 5)
        stop.set()
        steps = one.steps
        _, last = collect(events)
        assert one.steps <= steps + (4 if kind == "mixed" else 2)  # two hooks count there
    for event in last.values():
        assert event.stats.stop_reason == "stopped"
        assert event.stats.tokens < 200


@pytest.mark.parametrize("kind", ["mixed", "separate"])
def test_closing_ends_generation_and_frees_the_models(kind, image, request):
    pair = request.getfixturevalue(kind)
    with Slow(pair.baseline, 0.02) as slow:
        events = stream(pair, image, QUESTION, max_new_tokens=500)
        run_until(events, 3)
        events.close()
        steps = slow.steps
        time.sleep(0.1)
        assert slow.steps == steps < 20
    assert not any(side.checkpoint.lock.locked() for side in pair.sides)
    _, last = ask(pair, image)
    assert {event.stats.stop_reason for event in last.values()} == {"length"}


def test_who_waits_for_the_model_can_leave(mixed, image, monkeypatch):
    monkeypatch.setattr(settings, "HEARTBEAT_S", 0.02)
    with mixed.robust.checkpoint.lock:
        waiting = stream(mixed, image, QUESTION)
        assert [next(waiting).text for _ in range(3)] == ["", "", ""]
        waiting.close()
        stop = threading.Event()
        stop.set()
        _, last = ask(mixed, image, stop=stop)
        assert {event.stats.stop_reason for event in last.values()} == {"stopped"}
        assert {event.stats.tokens for event in last.values()} == {0}


def test_visitors_at_once_do_not_mix(mixed, image):
    alone = {seed: ask(mixed, image, temperature=1.0, seed=seed)[0] for seed in (1, 2, 3)}
    found = {}
    threads = [
        threading.Thread(target=lambda seed=seed: found.update({seed: ask(mixed, image, temperature=1, seed=seed)[0]}))
        for seed in alone
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


def test_a_slow_side_does_not_hold_up_the_other(separate, image):
    other_is_done = threading.Event()
    handle = separate.robust.checkpoint.base.register_forward_pre_hook(lambda *_: other_is_done.wait(60) and None)
    finished = []
    for event in stream(separate, image, QUESTION, temperature=0):
        if event.done:
            finished.append((event.side, event.stats.stop_reason))
            other_is_done.set()
    handle.remove()
    assert finished == [("baseline", "length"), ("robust", "length")]


def test_a_failing_checkpoint_does_not_touch_the_other(separate, image):
    expected, _ = ask(separate, image)
    with Slow(separate.baseline, fail_at=4):
        texts, last = ask(separate, image)
    assert texts["robust"] == expected["robust"]
    assert last["robust"].stats.stop_reason == "length"
    assert last["baseline"].error == "RuntimeError: out of memory"
    assert last["baseline"].stats.stop_reason == "error"
    assert expected["baseline"].startswith(texts["baseline"])


def test_a_prompt_that_cannot_be_read_fails_alone(folder, image, tmp_path):
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("{question} " + "x" * 5000)
    pair = load_pair(spec(folder, adapter="fast_vlm-adapter", prompt_file=str(prompt)), fallback=False)
    texts, last = ask(pair, image)
    assert same(texts["baseline"], plain(pair.baseline, folder, "fast_vlm", None, image))
    assert last["robust"].stats.stop_reason == "error"
    assert "tokens too long for this model" in last["robust"].error
    assert texts["robust"] == ""


def test_an_answer_ends_where_the_model_loses_its_place(mixed, image, monkeypatch):
    length = mixed.robust.checkpoint.inputs(image, [mixed.robust.prompt_for(QUESTION)])["input_ids"].shape[1]
    monkeypatch.setattr(mixed.robust.checkpoint.base.config.text_config, "max_position_embeddings", length + 5)
    _, last = ask(mixed, image)
    assert {(event.tokens, event.stats.stop_reason) for event in last.values()} == {(5, "length")}


def test_text_that_cannot_be_decoded_fails_alone(mixed, image, monkeypatch):
    expected, _ = ask(mixed, image)

    class Broken:
        def __init__(self, **_):
            self.steps = 0

        def step(self, *_):
            self.steps += 1
            if self.steps == 3:
                raise ValueError("no such token")
            return "x"

    real, made = generation.DecodeStream, []

    def second_is_broken(**options):
        made.append(options)
        return Broken() if len(made) == 2 else real(**options)

    monkeypatch.setattr(generation, "DecodeStream", second_is_broken)
    texts, last = ask(mixed, image)
    assert texts == {"baseline": expected["baseline"], "robust": "xx"}
    assert last["robust"].error == "ValueError: no such token"
    assert last["baseline"].stats.stop_reason == "length"


def test_a_failure_of_the_batch_leaves_the_model_as_it_was(mixed, image):
    expected, _ = ask(mixed, image)
    with Slow(mixed.robust, fail_at=3):
        _, last = ask(mixed, image)
    assert {event.error for event in last.values()} == {"RuntimeError: out of memory"}
    assert ask(mixed, image)[0] == expected


def test_a_side_that_has_said_all_ends_before_the_other(mixed, image, monkeypatch):
    config = mixed.baseline.checkpoint.base.generation_config
    said, push = {"baseline": [], "robust": []}, Row.push
    monkeypatch.setattr(Row, "push", lambda row, token: (said[row.side].append(token), push(row, token)))
    ask(mixed, image)
    said = {name: list(tokens) for name, tokens in said.items()}
    end = next(token for token in said["baseline"] if token not in said["robust"])
    monkeypatch.setattr(config, "eos_token_id", [end])
    _, last = ask(mixed, image)
    assert last["baseline"].stats.stop_reason == "eos"
    assert last["baseline"].stats.tokens == said["baseline"].index(end) + 1
    assert last["robust"].stats.stop_reason == "length"


def test_text_has_the_tags_but_no_special_tokens(mixed):
    words = mixed.robust.checkpoint.processor.tokenizer
    news = []
    row = Row(mixed.robust, news.append)
    for token in words.encode("<|endoftext|><TYPE>hat<|im_start|> 你<TYPE_END><|im_end|>"):
        row.push(token)
    row.push(words.pad_token_id)
    assert "".join(event.text for event in news) == "<TYPE>hat 你<TYPE_END>"
    assert news[-1].stats.stop_reason == "eos"


def test_whose_number_is_an_index_is_told_with_every_word(mixed, folder, image):
    by_index = load_pair(spec(folder, adapter="fast_vlm-adapter", by_index=True), fallback=False)
    for pair, expected in ((mixed, set()), (by_index, {"robust"})):
        events = [event for event in stream(pair, image, QUESTION, temperature=0) if event.text or event.done]
        assert {event.side for event in events if event.by_index} == expected
        assert all(event.by_index == (event.side in expected) for event in events)


def test_a_question_cannot_write_control_tokens(mixed, image):
    alone = mixed.robust.checkpoint.inputs(image, ["a"])["input_ids"]
    crafted = mixed.robust.checkpoint.inputs(image, ["<image>a<|im_end|>"])["input_ids"]
    words = mixed.robust.checkpoint.processor.tokenizer
    for number in words.convert_tokens_to_ids(["<image>", "<|im_end|>"]):
        assert (crafted == number).sum() == (alone == number).sum()


def test_a_chat_template_that_leaves_the_first_token_to_the_tokenizer(folder, image):
    pair = load_pair(spec(folder), fallback=False)
    words = pair.robust.checkpoint.processor.tokenizer
    first = ("<|im_start|>", words.convert_tokens_to_ids("<|im_start|>"))
    words.backend_tokenizer.post_processor = TemplateProcessing(single=f"{first[0]} $A", special_tokens=[first])
    ids = pair.robust.checkpoint.inputs(image, ["a"])["input_ids"][0]
    assert ids[:2].tolist() == [first[1]] * 2


def test_text_is_gathered_by_side():
    inbox = streaming.queue.SimpleQueue()
    for event in (Event("robust", "a", tokens=1), Event("baseline", "x", tokens=1), Event("robust", "b", tokens=2)):
        inbox.put(event)
    inbox.put(Event("robust", done=True, error="e", tokens=2))
    robust, baseline = streaming._gathered(inbox, 0.0)
    assert robust == Event("robust", "ab", done=True, error="e", tokens=2)
    assert baseline.text == "x"
    assert inbox.empty()


@pytest.fixture
def zero_gpu(folder, monkeypatch):
    """The pair as on a ZeroGPU Space: everything that goes in or comes out is pickled."""
    seen = SimpleNamespace(duration=None)

    def gpu(task, duration):
        def decorated(*args):
            seen.duration = duration(*args)
            args = pickle.loads(pickle.dumps(args))
            for event in task(*args):
                yield pickle.loads(pickle.dumps(event))

        return decorated

    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU=gpu))
    monkeypatch.setattr(streaming, "on_zero_gpu", lambda: True)
    seen.pair = load_pair(spec(folder, adapter="fast_vlm-adapter"), fallback=False)
    return seen


def test_zero_gpu(zero_gpu, mixed, image, monkeypatch):
    monkeypatch.setattr(settings, "ZERO_GPU_FLUSH_S", 0.05)
    texts, last = ask(zero_gpu.pair, image)
    assert zero_gpu.duration == round(settings.ZERO_GPU_START_S + TOKENS / settings.ZERO_GPU_TOKENS_PER_S)
    monkeypatch.undo()
    assert texts == ask(mixed, image)[0]
    assert {event.stats.stop_reason for event in last.values()} == {"length"}


def test_zero_gpu_batch(zero_gpu, image, monkeypatch):
    monkeypatch.setattr(settings, "ZERO_GPU_FLUSH_S", 0.05)
    ended = [event for event in stream_batch(zero_gpu.pair, [image] * 3, QUESTION, temperature=0) if event.done]
    assert sorted((event.picture, event.side) for event in ended) == [
        (number, side) for number in range(3) for side in ("baseline", "robust")
    ]
    alone = settings.ZERO_GPU_START_S + TOKENS / settings.ZERO_GPU_TOKENS_PER_S
    assert zero_gpu.duration == round(alone + 2 * settings.ZERO_GPU_MORE_S)


def test_zero_gpu_stop(zero_gpu, image, monkeypatch):
    monkeypatch.setattr(settings, "ZERO_GPU_FLUSH_S", 0.05)
    stop = threading.Event()
    events = stream(zero_gpu.pair, image, QUESTION, temperature=0, max_new_tokens=500, stop=stop)
    run_until(events, 3)
    stop.set()
    _, last = collect(events)
    assert {event.stats.stop_reason for event in last.values()} == {"stopped"}
    assert 0 < max(event.stats.tokens for event in last.values()) < 300
    assert not zero_gpu.pair.robust.checkpoint.lock.locked()
