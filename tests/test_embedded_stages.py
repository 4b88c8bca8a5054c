"""The embedded pair's own stages, eyes and words: each really run for a few steps on a few samples."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import RepoUrl
from huggingface_hub.utils import filter_repo_objects
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.utils.data import default_collate
from transformers import AutoModelForImageTextToText, AutoProcessor

from degradations import REGISTRY
from demo.chain import parse_options
from tests.trainer_runs import begun, log_of, one_thread, train  # noqa: F401  (a fixture)
from training import perceive, pretrain
from training.conversations import QUARTERS, Collator, Conversations, Mixture
from training.data import pixels, read_pairs, read_picture, read_samples
from training.embedded import (
    INTENSITIES,
    begin_words,
    build_model,
    build_processor,
    build_tokenizer,
    imagenet_classifier,
    load_imagenet_tower,
    rest_statistics,
)
from training.exchange import CLASSES, Classes, Exchange, labels, named_classes
from training.folding import fold, unfold
from training.perceive import DegradedViews, Perception, depthwise_in_float32
from training.resume import finished_checkpoint


def test_the_tower_keeps_what_imagenet_taught_it():
    model = build_model(build_tokenizer([]))
    classifier = load_imagenet_tower(model.model.vision_tower)
    processor = build_processor(build_tokenizer([]))
    image = Image.open("examples/cat.jpg").convert("RGB")
    image.thumbnail((224, 224))
    pixel_values = processor.image_processor(image, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        features = model.eval().model.vision_tower(pixel_values).last_hidden_state.mean((2, 3))
    assert 281 <= classifier(features).argmax() <= 285  # ImageNet's five domestic cats


def test_a_folded_tower_computes_the_same_and_unfolds_into_what_it_learned():
    torch.manual_seed(0)
    tower = build_model(build_tokenizer([])).model.vision_tower.eval()
    pictures = torch.randn(2, 3, 96, 96)
    folded = fold(tower)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    with torch.no_grad():
        before = tower(pictures).last_hidden_state
        torch.testing.assert_close(folded(pictures).last_hidden_state, before, atol=1e-3, rtol=1e-3)
        for parameter in folded.parameters():
            parameter.mul_(1.01)
        learned = folded(pictures).last_hidden_state
        assert not torch.allclose(learned, before, atol=1e-2)
        unfold(folded, tower)
        torch.testing.assert_close(tower(pictures).last_hidden_state, learned, atol=1e-3, rtol=1e-3)


def test_a_tower_whose_gates_do_something_is_not_folded():
    tower = build_model(build_tokenizer([])).model.vision_tower
    torch.nn.init.ones_(tower.encoder.blocks[2].squeeze_excite.expand.weight)
    with pytest.raises(ValueError, match="squeeze-and-excitation"):
        fold(tower)


def test_perception_learns_and_leaves_the_classifier_alone(samples, tmp_path):
    torch.manual_seed(0)
    rows = read_samples(samples, 4)
    verdicts, classifier = perceive.judge(rows, tmp_path)
    perception = Perception(build_model(build_tokenizer([])), classifier).train()
    batch = default_collate(DegradedViews(rows, verdicts, 4, seed=0).__getitems__([0, 1, 2, 3]))
    optimizer = torch.optim.AdamW([p for p in perception.parameters() if p.requires_grad], 1e-4)
    losses = []
    for _ in range(4):
        loss = perception(**batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.grad is None for p in perception.classifier.parameters())
    assert all(p.grad is not None for p in perception.tower.embeddings.parameters())


def test_what_was_known_is_kept_on_clean_pictures_only(samples, tmp_path):
    """The term that ties the features to the classifier's verdict has no say on a degraded picture."""
    rows = read_samples(samples, 2)  # the first is clean
    verdicts, classifier = perceive.judge(rows, tmp_path)
    perception = Perception(build_model(build_tokenizer([])), classifier)
    views = DegradedViews(rows, verdicts, 2, seed=0)

    def moved(number: int) -> float:
        """How much the loss depends on the classifier."""
        batch = default_collate(views.__getitems__([number]))
        with torch.no_grad():
            before = perception(**batch)["loss"]
            classifier.bias[:10] += 5
            after = perception(**batch)["loss"]
            classifier.bias[:10] -= 5
        return abs(after - before).item()

    assert moved(0) > 0.01 and moved(1) == 0


def test_the_classifiers_verdicts_know_the_place(samples, tmp_path):
    rows = read_samples(samples, 1)
    verdicts, _ = perceive.judge(rows, tmp_path)
    assert verdicts.shape == (1, 49, 1000) and 281 <= verdicts[0].mean(0).argmax() <= 285  # a cat
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    perceive.judge(rows, tmp_path)
    assert path.stat().st_mtime_ns == written


@pytest.mark.usefixtures("one_thread")
def test_eyes_and_words_that_were_cut_off_go_on_as_if_nothing_had_happened(samples, tmp_path):
    wholes = {"perceive": train("perceive", samples=samples, output_dir=tmp_path / "eyes")}
    wholes["pretrain"] = train("pretrain", samples=samples, eyes=tmp_path / "eyes", output_dir=tmp_path / "base")
    for stage, eyes in (("perceive", {}), ("pretrain", {"eyes": tmp_path / "eyes"})):
        begun(wholes[stage], tmp_path / f"{stage}-resumed", step=3)
        resumed = train(stage, samples=samples, **eyes, output_dir=tmp_path / f"{stage}-resumed")
        assert len(log_of(wholes[stage])) == 5 and log_of(resumed) == log_of(wholes[stage])
        before, after = load_all(wholes[stage]), load_all(resumed)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)


def pushes(monkeypatch) -> list[dict]:
    """What is put on a Hub that only listens."""
    pushed = []

    class Hub:
        def create_repo(self, name, private, exist_ok):
            return RepoUrl(f"https://huggingface.co/me/{name}")

        def upload_folder(self, repo_id, folder_path, ignore_patterns):
            paths = (path.relative_to(folder_path) for path in Path(folder_path).rglob("*") if path.is_file())
            pushed.append({repo_id: set(filter_repo_objects(map(str, paths), ignore_patterns=ignore_patterns))})

    monkeypatch.setattr("training.record.HfApi", Hub)
    monkeypatch.setattr("transformers.trainer.hf_api", None)  # the trainer itself asks nothing
    return pushed


def test_the_embedded_stages_follow_each_other(samples, tmp_path, monkeypatch, capsys):
    eyes, base, pushed = tmp_path / "eyes", tmp_path / "base", pushes(monkeypatch)
    train("perceive", samples=samples, output_dir=eyes, max_steps=1, save_steps=1, push_to_hub=True)
    train("pretrain", samples=samples, eyes=eyes, output_dir=base, max_steps=2, save_steps=1, push_to_hub=True)
    state = {"README.md", "run.json", "trainer_state.json"}
    assert pushed[0] == {"me/eyes": {"eyes.safetensors", *state}}
    ((name, files),) = pushed[1].items()
    assert name == "me/base" and files > {"config.json", "tokenizer.json", "processor_config.json", *state}
    assert not [file for file in files if file.startswith(("_", "checkpoint-")) or file.endswith(".f16")]
    assert (base / "checkpoint-1").exists() and list(base.glob("*.f16"))
    train("perceive", samples=samples, measured_on=samples, max_steps=1, start=eyes, output_dir=tmp_path / "again")
    assert "F1" in capsys.readouterr().out
    for folder, stage in ((eyes, "Eyes"), (base, "Words")):
        card = (folder / "README.md").read_text()
        assert f"{stage}, " in card and "sha256 of the data" in card and (folder / "trainer_state.json").exists()
    seen, better, spoken = (load_all(folder) for folder in (eyes, tmp_path / "again", base))
    towers = {key.removeprefix("tower."): value for key, value in seen.items() if key.startswith("tower.")}
    of_base = {key.rpartition("vision_tower.")[2]: value for key, value in spoken.items() if "vision_tower" in key}
    assert towers.keys() == of_base.keys()
    assert all(torch.equal(value.half(), of_base[key].half()) for key, value in towers.items())
    assert any(not torch.equal(better[f"tower.{key}"], value) for key, value in towers.items())
    model, processor = AutoModelForImageTextToText.from_pretrained(base), AutoProcessor.from_pretrained(base)
    assert max(path.stat().st_size for path in base.glob("*.safetensors")) < 9e6
    content = [
        {"type": "image", "image": Image.open("examples/cat.jpg").resize((224, 200))},
        {"type": "text", "text": "?"},
    ]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, return_dict=True, return_tensors="pt",
        add_generation_prompt=True,
    )  # fmt: skip
    assert model.float().generate(**inputs, max_new_tokens=3).shape[1] > inputs["input_ids"].shape[1]


def test_the_eyes_want_a_number_of_steps(samples, tmp_path):
    with pytest.raises(ValueError, match="give max_steps, which is -1"):
        train("perceive", samples=samples, output_dir=tmp_path / "eyes", max_steps=-1)
    assert not list(tmp_path.iterdir())


def test_views_are_sections_that_keep_picture_and_verdict_together(samples):
    """Of a picture whose every patch has a shade of its own, which the verdict repeats."""
    rows = read_samples(samples, 1)
    shades = np.arange(49, dtype=np.uint8).reshape(7, 7)
    Image.fromarray(np.kron(shades, np.ones((32, 32), np.uint8))).convert("RGB").save(rows[0]["image"])
    verdicts = shades.reshape(1, 49, 1).astype(np.float16)
    views = DegradedViews(rows, verdicts, 1000, seed=0, small_share=0.5)
    sizes, sections = set(), set()
    for number in range(24):
        (view,) = views.__getitems__([number])
        size = view["pixel_values"].shape[-1]
        middles = view["pixel_values"][0, 16::32, 16::32] * 128 + 127
        assert view["pixel_values"].shape == (3, size, size) and middles.shape == (size // 32, size // 32)
        torch.testing.assert_close(middles.flatten(), view["verdict"][:, 0].float())
        sizes.add(size)
        sections.add(tuple(middles.flatten().tolist()))
    assert sizes == {160, 224} and len(sections) > 8
    again = DegradedViews(rows, verdicts, 1000, seed=0, small_share=0.5).__getitems__([23])
    torch.testing.assert_close(again[0]["pixel_values"], view["pixel_values"])


def test_depthwise_convolutions_in_float32_change_no_gradient():
    torch.manual_seed(0)
    tower = build_model(build_tokenizer([])).model.vision_tower.eval()
    picture = torch.randn(1, 3, 64, 64)

    def gradients() -> list[torch.Tensor]:
        tower.zero_grad()
        tower(picture).last_hidden_state.square().mean().backward()
        return [p.grad.clone() for p in tower.parameters() if p.grad is not None]

    before, keys = gradients(), list(tower.state_dict())
    depthwise_in_float32(tower)
    assert list(tower.state_dict()) == keys
    for plain, wrapped in zip(before, gradients(), strict=True):
        torch.testing.assert_close(wrapped, plain)
    inside = []
    strided = next(m for m in tower.modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1 and m.stride[0] > 1)
    strided.register_forward_hook(lambda module, given, result: inside.append((given[0].dtype, result.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        tower(picture)
    assert inside[0][0] == inside[0][1]  # whoever comes next gets what came in


@pytest.fixture
def conversations(samples):
    """Makes Conversations of the first samples, changed by some columns, for some arguments."""

    def make(count=None, columns=None, template="{question}", **arguments) -> Conversations:
        rows = [row | (columns or {}) for row in read_samples(samples, count)]
        processor = build_processor(build_tokenizer([pretrain.sample_text(row) for row in rows]))
        plain = dict.fromkeys(("open_share", "degraded_share", "hidden_share", "exchanged_share"), 0.0) | arguments
        return Conversations(rows, processor, template, Mixture(**plain), seed=0)

    return make


def test_pretraining_asks_names_and_reads(conversations):
    items = conversations(template="{question}\nIn tags.")

    def halves(item: dict) -> tuple[str, str]:
        known = item["labels"].count(-100)
        decode = items.processor.tokenizer.decode
        return decode(item["input_ids"][:known]), decode(item["input_ids"][known:])

    assert len(items) == 2 * 6 * 8
    asked, answer = halves(items[0])
    assert answer == "cat<|end|>" and "0. " in asked and asked.count("<image>") == 49
    assert halves(items[1])[1] == "cat<|end|>" and halves(items[1])[0] != asked
    assert halves(items[9])[1] == halves(items[10])[1] == "<TYPE>lens blur(0.5), gaussian noise(0.3)<TYPE_END><|end|>"
    asked, chain = halves(items[11])
    assert "<image>" not in asked and asked.endswith(
        "In tags.<|end|><|assistant|><TYPE>lens blur(0.5), gaussian noise(0.3)<TYPE_END>"
    )
    assert chain.startswith("\n<INFLUENCE>") and chain.endswith("<ANSWER>cat<ANSWER_END><|end|>")
    assert chain != halves(items[6 * 8 + 11])[1]  # other words in the second view
    assert [items[n]["picture"] for n in (0, 6, 7, 8, 9, 10, 11)] == [0, 2, 2, 2, 3, 3, None]


def test_some_questions_are_asked_on_degraded_and_on_partly_hidden_pictures(conversations):
    items = conversations(degraded_share=0.5, hidden_share=0.5)
    asked = [items[n] for n in range(len(items)) if n % 6 < 2]
    assert {item["picture"] % 2 for item in asked} == {0, 1}
    shown = [item["shown"].sum() for item in asked]
    assert 0.2 < sum(count == 49 for count in shown) / len(shown) < 0.8 and min(shown) < 25
    seen = Collator(np.ones((16, 49, 1280), np.float16), None, 0)(asked)["parts"][0]["features"]
    assert (seen[..., 0].sum(1) == torch.tensor(shown)).all()
    naming = [items[n] for n in range(3, len(items), 6)]
    assert Collator(np.ones((16, 49, 1280), np.float16), None, 0)(naming)["parts"][0]["features"].all()


def test_many_questions_are_about_things_that_features_are_exchanged_for(conversations):
    items = conversations(exchanged_share=0.5, exchanged_open_share=0.5)
    own = [items[n] for n in range(len(items)) if n % 6 < 2]
    assert 0.2 < sum("exchanged" in item for item in own) / len(own) < 0.8  # the samples are of kind object
    classes, asked_for = named_classes(), Counter()
    for item in (items[n] for n in range(2, 12 * len(items), 6)):
        known = item["labels"].count(-100)
        asked, answer = (items.processor.tokenizer.decode(part) for part in np.split(item["input_ids"], [known]))
        answer, ((positions, shares), *others) = answer.removesuffix("<|end|>"), item["exchanged"]
        options, first = parse_options(asked.partition("<|end|>")[0]), next(iter(shares))
        if len(positions) == 49:
            kind = "object" if options else "open"
            assert not others and (options or (shares == {first: 1.0} and first in classes[answer]))
        else:
            assert shares == {first: 1.0}
            kind = "where" if "bottom left" in options else "which"
            places = [positions, *(place for place, _ in others)]
            assert len({tuple(place) for place in places}) == len(places) <= 3
            if kind == "where":
                top, left = "top" in answer, "left" in answer
                assert set(positions // 7) == ({0, 1, 2} if top else {4, 5, 6})
                assert set(positions % 7) == ({0, 1, 2} if left else {4, 5, 6})
                assert any(f" {name}" in asked for name, numbers in classes.items() if first in numbers)
            else:
                shown = {name for name, numbers in classes.items() for _, other in others if {*other} & {*numbers}}
                assert first in classes[answer] and answer in options and not {*shown, "cat"} & {*options} - {answer}
        assert kind == "open" or answer in options
        asked_for[kind] += 1
    assert min(asked_for[kind] for kind in ("object", "open", "which", "where")) > 20


def test_visitors_may_name_things_that_stand_in_the_template_but_write_no_control_tokens():
    tokenizer = build_tokenizer([], ["ant"])
    chat = [{"role": "user", "content": "an ant, <|assistant|>"}]
    (ids,) = build_processor(tokenizer).apply_chat_template(
        chat, tokenize=True, return_dict=True, add_generation_prompt=True, sanitize_control_tokens=True
    )["input_ids"]
    ant, assistant = tokenizer.convert_tokens_to_ids(["ant", "<|assistant|>"])
    assert ids.count(ant) == 1 and ids.count(assistant) == 1 and ids[-1] == assistant
    assert tokenizer.decode(ids) == "<|user|>an ant, <|assistant|><|end|><|assistant|>"


def test_what_is_to_be_chosen_is_the_only_option_that_is_seen():
    classes, rng, kinds = Classes(), np.random.default_rng(0), Counter()
    for _ in range(300):
        choice = classes.choose(rng)
        right = {word: classes.right.get(word, set()) for word in choice.options}
        assert len(right) == 4 and sum(choice.shares.values()) == pytest.approx(1)
        seen = [word for word, numbers in right.items() if numbers & {*choice.shares}]
        assert seen == ([] if choice.number is None else [choice.name])
        assert all(numbers.isdisjoint(right[choice.name]) for word, numbers in right.items() if word != choice.name)
        if choice.number is None:  # right, since it is the only one that could be meant
            assert [word for word, numbers in right.items() if not numbers] == [choice.name] and len(choice.shares) == 1
            kinds["strange"] += 1
        else:
            assert choice.number in right[choice.name] and 0.2 <= choice.shares[choice.number] <= 1
            kinds["name" if choice.name in classes.named else "label"] += 1
            kinds["doubt"] += len(choice.shares) == 2
            kinds["less"] += choice.shares[choice.number] < 0.5
        kinds["strange option"] += any(not numbers for word, numbers in right.items() if word != choice.name)
    assert kinds["strange"] > 10
    assert min(kinds[kind] for kind in ("name", "label", "doubt", "less", "strange option")) > 40


def test_every_word_for_a_class_counts_as_right():
    right, named = Classes().right, labels()
    dogs = right["dog"]
    assert right["beagle"] == {named.index("beagle")} < dogs and len(dogs) > 100
    assert len(right["crane"]) == 2  # a bird and a machine
    assert "zabust" not in right


def test_classes_are_put_where_an_item_says():
    def fill(features: np.ndarray, shares: dict[int, float]) -> np.ndarray:
        return np.full_like(features, *shares)

    collate = Collator(np.ones((1, 49, 1280), np.float16), fill, 0)
    shown = np.arange(49) != 1
    item = {"picture": 0, "shown": shown, "exchanged": [(QUARTERS[0], {7: 1.0}), (QUARTERS[3], {9: 1.0})]}
    (part,) = collate([item | {"input_ids": [1], "labels": [1]}])["parts"]
    seen = part["features"][0, :, 0].reshape(7, 7)
    assert seen[:3, :3].tolist() == [[7, 0, 7], [7, 7, 7], [7, 7, 7]]
    assert (seen[4:, 4:] == 9).all() and (seen[3] == 1).all() and (seen[:, 3] == 1).all()


def test_exchanged_features_show_the_wanted_class_in_the_same_place(samples, tmp_path):
    model, (row,) = build_model(build_tokenizer([])), read_samples(samples, 1)
    features = pretrain.cache_features(model, [row], tmp_path, seed=0)[0].astype(np.float32)
    classifier, dog, car = imagenet_classifier(), 207, 817
    before = said_of(classifier, features)
    found = int(before.argmax())
    assert 281 <= found <= 285  # a cat
    means = np.random.default_rng(0).exponential(0.4, (2000, 1280)).astype(np.float32)
    exchange = Exchange(classifier, means)
    for wanted in (dog, car):
        exchanged = exchange(features, {wanted: 1.0})
        after = said_of(classifier, exchanged)
        assert after.argmax() == wanted and after[found] < before[found] / 2
        assert exchanged.min() >= 0 and exchanged.max() <= 6
        moved = np.linalg.norm(exchanged - features, axis=1)
        evidence = features @ classifier.weight.detach().numpy()[found]
        assert np.corrcoef(moved, evidence)[0, 1] > 0.8
    assert np.array_equal(exchange(features, {found: 1.0}), features)
    both = said_of(classifier, exchange(features, {dog: 0.6, car: 0.4}))
    alone = [said_of(classifier, exchange(features, {wanted: 1.0})) for wanted in (dog, car)]
    assert np.allclose(both, 0.6 * alone[0] + 0.4 * alone[1], atol=1e-3)


def test_what_varies_with_a_class_changes_with_it():
    """Channel 1 is not what the class is read by, but goes along with it in pictures; channel 2 does not."""
    seen = np.random.default_rng(0).uniform(0, 3, (500, 3)).astype(np.float32)
    seen[:, 1] = seen[:, 0] + 1
    classifier = torch.nn.Linear(3, 2)
    classifier.load_state_dict({"weight": torch.tensor([[0.0, 0, 1], [1, 0, 0]]), "bias": torch.zeros(2)})
    before = np.float32([[0.5, 2, 3]] * 4)
    change = Exchange(classifier, seen)(before, {1: 1.0}) - before
    assert (change[:, 0] > 1).all() and (change[:, 1] > 1).all() and (change[:, 2] < -1).all()


def said_of(classifier: torch.nn.Linear, features: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return classifier(torch.from_numpy(features).mean(0)).numpy()


def test_classes_have_everyday_names():
    classes = named_classes()
    assert len(CLASSES.read_text().splitlines()) == 1000
    assert {281, 282, 283, 284, 285} <= set(classes["cat"]) and 207 in classes["dog"]
    numbers = [number for own in classes.values() for number in own]
    assert len(numbers) == len(set(numbers)) and not {134, 517} & set(numbers)  # crane: a bird, and a machine


def test_a_composed_scene_is_also_asked_where_its_thing_is(conversations):
    scene = {"kind": "which", "thing": "cat", "place": "top left", "question": "Which of these is in the picture?"}
    items = conversations(1, scene | {"options": ["dog", "cat", "car", "hat"]})
    first, second = (items.processor.tokenizer.decode(items[n]["input_ids"]) for n in (0, 1))
    assert first.endswith("cat<|end|>") and all(option in first for option in ("dog", "cat", "car", "hat"))
    assert second.endswith("top left<|end|>") and "the cat" in second and "3. bottom right" in second


def test_every_item_counts_the_same_in_pretraining():
    torch.manual_seed(0)
    tokenizer = build_tokenizer([])
    model = build_model(tokenizer, hidden=64, layers=1).eval()
    words = pretrain.WithFeatures(model, tokenizer.convert_tokens_to_ids(INTENSITIES), 0.05)
    image = [tokenizer.convert_tokens_to_ids("<image>")] * 49
    short = {"picture": 0, "input_ids": [*image, 10, 11], "labels": [-100] * 50 + [11]}
    long = {"picture": None, "input_ids": [10, 11, 12, 13], "labels": [-100, 11, 12, 13]}
    collator = Collator(torch.randn(1, 49, 1280).numpy(), None, tokenizer.pad_token_id)
    alone = [words(**collator([item]))["loss"] for item in (short, long)]
    together = words(**collator([long, short]))["loss"]
    torch.testing.assert_close(together, sum(alone) / 2)
    logits = model(input_ids=torch.tensor([long["input_ids"]])).logits[0, :-1]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([11, 12, 13]))
    torch.testing.assert_close(alone[1], expected)


def test_a_resting_tower_sees_the_same_in_training_as_in_the_demo():
    torch.manual_seed(0)
    model = build_model(build_tokenizer([]), hidden=64, layers=1)
    pictures = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = model.eval().model.vision_tower(pictures).last_hidden_state
        rest_statistics(model)
        model.train()
        assert model.model.vision_tower.training
        torch.testing.assert_close(model.model.vision_tower(pictures).last_hidden_state, expected)


def test_the_eyes_do_not_learn_from_samples_whose_clean_pictures_are_not_known(samples, tmp_path):
    rows = [json.loads(line) | {"clean": None} for line in (samples / "samples.jsonl").read_text().splitlines()]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(read_samples(tmp_path)) == 8
    with pytest.raises(ValueError, match=r"8 samples .* no clean picture, the first is 0"):
        read_pairs(tmp_path)


def load_all(folder: Path) -> dict[str, torch.Tensor]:
    return {key: value for path in folder.glob("*.safetensors") for key, value in load_file(path).items()}


def test_cached_features_are_made_once(samples, tmp_path):
    model, rows = build_model(build_tokenizer([])), read_samples(samples, 3)
    features = pretrain.cache_features(model, rows, tmp_path, seed=0, batch_size=2)
    with torch.inference_mode():
        expected = model.eval().model.vision_tower(pixels(read_picture(rows[1]["image"]), 224)[None])
    difference = torch.from_numpy(features[3].copy()).float() - expected.last_hidden_state[0].flatten(1).T
    assert difference.abs().mean() < 0.05  # bfloat16
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    pretrain.cache_features(model, rows, tmp_path, seed=0)
    assert path.stat().st_mtime_ns == written
    with torch.no_grad():
        next(model.model.vision_tower.parameters()).add_(0.1)
    assert not np.array_equal(pretrain.cache_features(model, rows, tmp_path, seed=0), features)


def test_neighbouring_intensities_are_nearly_right():
    tokenizer = build_tokenizer([])
    ids = tokenizer.convert_tokens_to_ids(INTENSITIES)
    soft = pretrain.WithFeatures(torch.nn.Identity(), ids, 0.05).soft_targets(torch.tensor([ids[9], 7]), len(tokenizer))
    assert torch.allclose(soft.sum(1), torch.ones(2))
    assert soft[0].argmax() == ids[9]
    assert soft[0, ids[8]] == soft[0, ids[10]] > soft[0, ids[7]] > 0
    assert soft[1, 7] == 1


def test_a_run_goes_on_from_its_last_whole_checkpoint(tmp_path):
    assert finished_checkpoint(tmp_path) is None
    for step, state in ((2, "{}"), (10, "{}"), (12, '{"cut'), (14, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert finished_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


def test_a_thing_is_one_token_where_it_stands_alone():
    tokenizer = build_tokenizer(["What is it? Two cats and a carrot."], ["cat", "car", "shirt", "t-shirt", "ice cream"])
    text = "a cat, two cats, carrots, a car.\n<ANSWER>t-shirt<ANSWER_END> ice cream"
    tokens = tokenizer.tokenize(text)
    assert [token for token in tokens if token in tokenizer.get_added_vocab()] == [
        "cat", "car", "<ANSWER>", "t-shirt", "<ANSWER_END>", "ice cream",
    ]  # fmt: skip
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_words_begin_as_what_the_eyes_heads_read_them_by(tmp_path):
    """By then tokens are white, and the heads still read the same."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer([], ["cat", "moon"])
    model, features = build_model(tokenizer), torch.rand(2000, 1280)
    projector, ids = model.model.multi_modal_projector, tokenizer.get_vocab()
    projector.linear_2.weight.data *= torch.logspace(2, 4, 256)[:, None]
    old, embedding = projector(features), model.get_input_embeddings().weight
    heads = {"thing.weight": torch.randn(1000, 256), "presence.weight": torch.randn(16, 256)}
    save_file(heads, tmp_path / "eyes.safetensors")
    before = embedding.clone()
    begin_words(model, tmp_path, ids, {"cat": [281, 285]}, features)
    new = projector(features)
    torch.testing.assert_close(new.mean(0), torch.zeros(256), atol=1e-3, rtol=0)
    spread = new.var(0)
    torch.testing.assert_close(spread, torch.ones(256), atol=0.3, rtol=0)
    for word, row in (("cat", heads["thing.weight"][[281, 285]].mean(0)), ("lens flare", heads["presence.weight"][1])):
        read, wanted = new @ embedding[ids[word]], old @ row
        assert torch.corrcoef(torch.stack([read, wanted]))[0, 1] > 0.999
        torch.testing.assert_close(embedding[ids[word]].norm(), before.norm(dim=1).median())
    changed = (embedding != before).any(1).nonzero()[:, 0].tolist()
    assert changed == sorted(ids[word] for word in (*REGISTRY, "cat"))
    assert model.lm_head.weight is embedding
