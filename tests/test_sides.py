"""Who is asked: sides in one word, published models by their names."""

from pathlib import Path

import pytest
from PIL import Image

from demo.checkpoints import load
from demo.settings import PRESETS, Spec
from tests import tiny
from tests.pictures import picture
from training.evaluation import command_line, local
from training.evaluation.published import figures as published_figures
from training.evaluation.rows import Picture
from training.evaluation.sides import PUBLISHED, Asking, Side, published, readme_table


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("baseline=runs/base", Side("baseline", "runs/base", None, False)),
        ("robust=runs/base+runs/grpo", Side("robust", "runs/base", "runs/grpo", True)),
        ("control=runs/base+runs/control:direct", Side("control", "runs/base", "runs/control", False)),
        ("robust=owner/Robust-R1-RL:chain", Side("robust", "owner/Robust-R1-RL", None, True)),
        ("x=C:/base+C:/a=b:chain", Side("x", "C:/base", "C:/a=b", True)),
        ("l=owner/vlm:letters", Side("l", "owner/vlm", None, False, True)),
        ("t=owner/llava,tower=owner/clip:letters", Side("t", "owner/llava", None, False, True, "owner/clip")),
        ("i=owner/vlm:index", Side("i", "owner/vlm", None, True, by_index=True)),
        ("u=vlm@http://127.0.0.1:8000/v1", Side("u", "vlm", None, False, url="http://127.0.0.1:8000/v1")),
        ("d=runs/base+runs/sft,temperature=0.7", Side("d", "runs/base", "runs/sft", True, temperature=0.7)),
        ("u=a/b@https://h/v1:chain", Side("u", "a/b", None, True, url="https://h/v1")),
    ],
)
def test_a_side_is_written_in_one_word(text, side):
    assert Side.parse(text) == side
    assert Side.parse(str(side)) == side


@pytest.mark.parametrize(
    "text",
    [
        "runs/base",
        "=runs/base",
        "robust=",
        "robust=runs/base+",
        "robust=+runs/sft",
        "a=:chain",
        "a=b,tower=",
        "a=b,temperature=",
        "a=b,temperature=warm",
        "a=b,temperature=-1",
        "@http://h",
    ],
)
def test_a_side_that_lacks_a_part_is_refused(text):
    with pytest.raises(ValueError, match="NAME=CHECKPOINT"):
        Side.parse(text)


def test_a_set_is_called_by_its_source_unless_it_is_named():
    assert command_line.named_source("data/validation") == ("validation", "data/validation")
    assert command_line.named_source("natural=data/x") == ("natural", "data/x")
    assert command_line.named_source("lcysyzxdxc/R-Bench#test") == ("R-Bench", "lcysyzxdxc/R-Bench#test")
    assert command_line.named_source("/data/MMStar.tsv") == ("MMStar", "/data/MMStar.tsv")


def test_a_preset_is_both_its_sides():
    arguments = command_line.parse("", ["--preset", "embedded", "--samples", "data/validation", "--output", "x"])
    sides, spec = command_line.chosen(arguments)
    embedded = PRESETS["embedded"]
    assert spec == embedded and arguments.samples == [("validation", "data/validation")]
    assert list(map(str, sides)) == [
        f"baseline={embedded.baseline}:direct",
        f"robust={embedded.robust}+{embedded.adapter}:chain",
    ]


def test_a_preset_of_a_published_checkpoint_answers_by_the_index():
    arguments = command_line.parse("", ["--preset", "robust-r1", "--set", "x.tsv", "--output", "x"])
    sides, _ = command_line.chosen(arguments)
    assert str(sides[1]) == "robust=Jiaqi-hkust/Robust-R1-RL:index"


def test_a_yaml_holds_the_same_options_and_the_command_line_comes_after(tmp_path):
    told = (
        "side: [a=x, 'b=y:chain']\nset: z\nbatch-size: 4\nspeed: true\nrenew: false\nrequest: {top_p: 1}\noutput: o\n"
    )
    (tmp_path / "run.yaml").write_text(told)
    words = ["--config", str(tmp_path / "run.yaml"), "--batch-size", "2", "--set", "w"]
    arguments = command_line.parse("", words)
    assert [side.name for side in arguments.side] == ["a", "b"] and arguments.request == {"top_p": 1}
    assert arguments.samples == [("z", "z"), ("w", "w")] and (arguments.batch_size, arguments.speed) == (2, True)
    assert not arguments.renew
    with pytest.raises(SystemExit):
        command_line.parse("", ["--output", "x", "--set", "z"])  # nobody to ask


# --- published models ---


def test_published_models_are_sides_by_their_names():
    assert str(Side.parse("robust-r1-rl")) == "Robust-R1 SFT+RL=Jiaqi-hkust/Robust-R1-RL:index"
    assert str(Side.parse("tecoa")) == "TeCoA=llava-hf/llava-1.5-7b-hf,tower=chs20/tecoa4-clip:letters"
    served = Side.parse("robust-u1@http://127.0.0.1:8000/v1")
    assert (served.url, served.by_index, served.tower) == ("http://127.0.0.1:8000/v1", True, None)
    with pytest.raises(ValueError, match=r"bagel cannot be loaded here .* give bagel@http://HOST:PORT/v1"):
        published("bagel")
    known = {name for part in ("R-Bench", "anti-degradation") for name in published_figures()[part]}
    named = {model.name for model in PUBLISHED.values()}
    assert known <= named and named - known == {"BAGEL", "Robust-U1"}


def test_the_readme_says_of_every_published_model_what_was_checked():
    assert readme_table() in Path("training/README.md").read_text()


def test_prompts_are_those_of_the_models():
    row = {"question": "Which {thing}?", "options": ["hat", "cat"], "task": "MCQ"}
    open_row, caption = row | {"options": [], "task": "VQA"}, row | {"options": [], "task": "CAP"}
    asking = Asking("Look. {question}", 5, Spec("x", "", ""))
    chain, direct, letters = (Side("s", "x", None, *how) for how in ((True,), (False,), (False, True)))
    assert asking.prompt(chain, row) == "Look. Which {thing}?\n0. hat\n1. cat"
    assert asking.prompt(direct, row) == "Which {thing}?\n0. hat\n1. cat"
    lettered = "Which {thing}?\nA. hat\nB. cat\nAnswer with the letter of the right option alone."
    assert asking.prompt(letters, row) == lettered
    assert asking.prompt(letters, open_row) == "Which {thing}?\nAnswer in at most 10 words."
    assert asking.prompt(letters, caption) == "Which {thing}?"


@pytest.mark.parametrize("make", [tiny.qwen, tiny.gemma3, tiny.internvl], ids=lambda make: make.__name__)
def test_models_of_the_published_classes_are_asked(make, tmp_path):
    """Several questions in one batch, and one about two pictures, by the classes of the published checkpoints."""
    checkpoint = load(str(make(tmp_path / "model")), Spec("x", "", "", min_pixels=56 * 56, max_pixels=112 * 112))
    for number in range(2):
        Image.fromarray(picture(60, 80, seed=number)).save(tmp_path / f"{number}.png")
    first, second = (Picture(str(tmp_path / f"{number}.png")) for number in range(2))
    prompts = ["What?\nA. hat\nB. cat", "And that, then?"]
    together = local.generate(checkpoint, [[first], [second]], prompts, 3)
    alone = [
        local.generate(checkpoint, [[own]], [prompt], 3)[0]
        for own, prompt in zip((first, second), prompts, strict=True)
    ]
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    one, both = (checkpoint.inputs([[own.read() for own in pair]], ["?"]) for pair in ([first], [first, second]))
    assert both["input_ids"].shape[1] > one["input_ids"].shape[1]
    assert len(local.generate(checkpoint, [[first, second]], ["Same?"], 3)) == 1
