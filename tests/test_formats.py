"""The published dataset formats: their records read as questions, taken as they are, and written."""

import json
import re
import sys
from pathlib import Path

import datasets
import pytest
from datasets import load_dataset
from PIL import Image

from degradations import Recipe
from degradations.jobs import read_table
from demo.chain import DEFAULT_PROMPT, build_prompt, format_chain, parse_chain, question_with_options
from training import export as exporting
from training.data import read_chained
from training.export import FORMATS, export
from training.formats import (
    complete_chain,
    find_answer,
    question_fields,
    read_conversation,
    read_question,
    read_trl,
    split_options,
    without_template,
)
from training.imports import take_as_they_are
from training.sources import open_source

HERE = Path("/pictures")


def chain(recipe="lens blur(0.8), graffiti(0.25)", answer="1"):
    return format_chain(Recipe.parse(recipe), "Edges are soft.", "A wagon has wheels.", "It is a wagon.", answer)


def picture(path: Path, colour="teal", format=None) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (24, 16), colour)
    image.putpixel((3, 4), (255, 255, 255))
    image.save(path, format)
    return path.read_bytes()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keeps what `datasets` converts out of the home folder."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


# --- records ---

ASKED = "What are the people riding?\n0. trucks\n1. wagons"


def vlm(value, answer="1", image="a.jpg", **more):
    said = [{"from": "human", "value": value}, {"from": "gpt", "value": answer}]
    return {"id": 7, "image": image, "conversations": said} | more


def roles(value, answer="1", images=("a.jpg",)):
    said = [{"role": "user", "content": value}, {"role": "assistant", "content": answer}]
    return {"messages": said, "images": list(images)}


MESSAGES = {
    "columns": {"messages": "messages", "images": "images"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}


def parts(value, answer="1", images=("a.jpg",)):
    content = [*({"type": "image", "text": None} for _ in images), {"type": "text", "text": value}]
    return {
        "images": list(images),
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}],
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": answer}]}],
    }


@pytest.mark.parametrize(
    ("read", "raw", "how"),
    [
        (read_conversation, vlm(f"<image>{ASKED}"), {}),
        (read_conversation, vlm(f"<image>\n{ASKED}", "<think>wheels</think> <answer> B </answer>", ["a.jpg"]), {}),
        (read_conversation, vlm(ASKED, 1), {}),
        (read_conversation, roles(f"<image>{ASKED}", "wagons"), MESSAGES),
        (read_trl, parts(ASKED, chain()), {}),
        (read_trl, {"image": "a.jpg", "prompt": ASKED, "completion": "1. wagons"}, {}),
        (read_question, {"image": "a.jpg", "question": ASKED, "answer": 1}, {}),
        (
            read_question,
            {"images": ["a.jpg"], "problem": "What are the people riding?", "choices": ["trucks", "wagons"]}
            | {"correct_choice_idx": 1},
            {},
        ),
        (
            read_question,
            {"photo": "a.jpg", "asked": ASKED, "truth": "b"},
            {"columns": {"image": "photo", "question": "asked", "answer": "truth"}},
        ),
    ],
)
def test_every_format_says_the_same(read, raw, how):
    record = read(raw, HERE, **how)
    assert record.pictures == (HERE / "a.jpg",)
    assert question_fields(record) == {
        "question": "What are the people riding?", "options": ["trucks", "wagons"], "answer": "wagons",
        "answer_index": 1,
    }  # fmt: skip


def test_a_chain_stays_whole_though_its_answer_is_tagged_as_vlm_r1_does():
    text = re.sub("<(/?[A-Z]+)>", lambda tag: tag[0].lower(), re.sub("<([A-Z]+)_END>", r"</\1>", chain()))
    assert text.endswith("<answer>1</answer>")
    assert read_conversation(vlm(ASKED, text), HERE).answer == text
    assert read_conversation(vlm(ASKED, "so <answer>1</answer>"), HERE).answer == "1"


def test_several_pictures_are_kept_in_order():
    expected = (HERE / "a.jpg", HERE / "b.jpg")
    assert read_conversation(vlm("<image><image>Which?", "both", ["a.jpg", "b.jpg"]), HERE).pictures == expected
    assert read_trl(parts("Which?", "both", ("a.jpg", "b.jpg")), HERE).pictures == expected


@pytest.mark.parametrize(
    ("read", "raw", "reason"),
    [
        (read_conversation, {"id": 1, "image": "a.jpg"}, "must be a list of messages, not None"),
        (read_conversation, vlm("?") | {"conversations": vlm("?")["conversations"] * 2}, "one question .* and it has"),
        (read_conversation, vlm("<image><image>?"), "1 pictures, and its text 2 times <image>"),
        (read_conversation, vlm("?", image=None), "no picture"),
        (read_conversation, vlm("?", ""), "no answer"),
        (read_conversation, vlm("?", image=[3]), "must be a path or the bytes of a file, not 3"),
        (read_conversation, vlm("?", sample='{"question": "?"}'), "not the row of a sample"),
        (read_trl, {"images": ["a.jpg"], "prompt": "?"}, "prompt and completion must be"),
        (read_question, {"image": "a.jpg", "answer": "x"}, "question must be a text, not None"),
        (read_question, {"image": "a.jpg", "question": "?", "options": "['a']", "answer": 0}, "a list of texts"),
        (read_question, {"image": "a.jpg", "question": "?"}, "no answer"),
    ],
)
def test_a_record_that_cannot_be_read_says_why(read, raw, reason):
    with pytest.raises(ValueError, match=reason):
        read(raw, HERE)


def test_columns_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="no 'asked' for the question, it has image, question"):
        read_question({"image": "a.jpg", "question": "?"}, HERE, {"question": "asked"})


@pytest.mark.parametrize(
    ("answer", "options", "expected"),
    [
        ("hat", ["cat", "hat"], ("hat", 1)),
        ("B", ["cat", "hat"], ("hat", 1)),
        ("0", ["cat", "hat"], ("cat", 0)),
        ("2", ["4", "2", "1"], ("2", 1)),  # an option's text comes before its index
        (2, ["4", "2", "1"], ("1", 2)),  # a number is an index
        (3, [], ("3", None)),
        ("a red hat", [], ("a red hat", None)),
    ],
)
def test_answers(answer, options, expected):
    assert find_answer(answer, options) == expected


@pytest.mark.parametrize("answer", ["dog", 2, -1])
def test_an_answer_that_is_no_option_is_refused(answer):
    with pytest.raises(ValueError, match="is none of its options"):
        find_answer(answer, ["cat", "hat"])


def test_options_leave_the_question():
    assert split_options("Which?\n0. a hat\n1) a cat\nAnswer briefly.\n") == (
        "Which?\nAnswer briefly.", ["a hat", "a cat"],
    )  # fmt: skip
    assert split_options("Which?\n0. a hat") == ("Which?\n0. a hat", [])
    assert split_options("Solve 2 x.") == ("Solve 2 x.", [])


def test_a_prompt_file_is_undone():
    for template in (DEFAULT_PROMPT, "Look.\n{question}", "{question}"):
        assert without_template(build_prompt(ASKED, template), template) == ASKED
    with pytest.raises(ValueError, match="was not made of the prompt file"):
        without_template(ASKED, DEFAULT_PROMPT)


def test_the_row_of_a_record_is_not_taken_blindly(samples, tmp_path):
    export(samples, tmp_path / "out", "vlm-r1", limit=1)
    (record,) = read_table(tmp_path / "out/train.jsonl")
    record["sample"] = json.dumps(json.loads(record["sample"]) | {"image": "/etc/passwd", "clean": "/etc/hostname"})
    (tmp_path / "out/train.jsonl").write_text(lines([record]))
    take_as_they_are(open_source(str(tmp_path / "out")), tmp_path / "back")
    (row,) = read_table(tmp_path / "back/samples.jsonl")
    assert (row["image"], row["clean"]) == ("degraded/000000.png", "clean/000000.png")
    changed = record | {"conversations": vlm("<image>Something else?", chain())["conversations"]}
    (tmp_path / "out/train.jsonl").write_text(lines([changed, record, record]))
    take_as_they_are(open_source(str(tmp_path / "out")), tmp_path / "changed")
    assert len(list(read_table(tmp_path / "changed/chains.jsonl"))) == 1
    first, second = read_table(tmp_path / "changed/rejected.jsonl")
    assert "does not ask the question of its 'sample'" in first["reason"] and first["id"] == 0
    assert "another record is of the sample 0" in second["reason"] and second["id"] == 2


def test_only_complete_chains_are_taken():
    assert str(complete_chain(chain()).recipe) == "lens blur(0.8), graffiti(0.25)"
    assert str(complete_chain(chain("none")).recipe) == "none"
    with pytest.raises(ValueError, match=r"closed are TYPE, INFLUENCE$"):
        complete_chain(chain().split("<REASONING>")[0])
    with pytest.raises(ValueError, match="none of them is known"):
        complete_chain(chain().replace("lens blur(0.8), graffiti(0.25)", "fog(0.3)"))


# --- taken as they are ---


def lines(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_chains_of_others_are_taken_with_the_pictures_they_speak_of(tmp_path):
    bytes_a = picture(tmp_path / "images/a.jpg")
    bytes_b = picture(tmp_path / "images/b.webp", "navy", "WEBP")
    (tmp_path / "images/broken.jpg").write_bytes(bytes_a[:300])
    (tmp_path / "train.jsonl").write_text(
        lines(
            [
                vlm(f"<image>{ASKED}", chain()),
                vlm(f"<image>{ASKED}", "1"),
                vlm(f"<image>{ASKED}", chain(), "broken.jpg"),
                vlm(f"<image>{ASKED}", chain(answer="hats")),
                vlm(f"<image><image>{ASKED}", chain("none"), ["a.jpg", "b.webp"], source="elsewhere"),
                vlm(f"<image>{ASKED}", chain(), recipe="graffiti(0.27), Lens Blur(0.81)"),
                vlm(f"<image>{ASKED}", chain(), recipe="fog(0.2)"),
            ]
        )
    )
    source = open_source(str(tmp_path / "train.jsonl"), image_folder=tmp_path / "images")
    out = tmp_path / "out"
    take_as_they_are(source, out)
    first, last, stated = read_table(out / "samples.jsonl")
    assert first == {
        "id": 0, "image": "degraded/000000.jpg", "clean": None, "recipe": "lens blur(0.8), graffiti(0.25)",
        "seed": None, "kind": "other", "source": "train", "question": "What are the people riding?",
        "options": ["trucks", "wagons"], "answer": "wagons", "answer_index": 1, "cue": "", "thing": "", "others": [],
        "place": "", "count": 1, "made_of": [str(tmp_path / "images/a.jpg")],
    }  # fmt: skip
    assert stated["recipe"] == "lens blur(0.81), graffiti(0.27)"
    assert (last["id"], last["source"], last["more_images"]) == (4, "elsewhere", ["more/000004_1.webp"])
    assert (out / first["image"]).read_bytes() == (out / last["image"]).read_bytes() == bytes_a
    assert (out / last["more_images"][0]).read_bytes() == bytes_b
    chains = list(read_table(out / "chains.jsonl"))
    assert chains[0] == {"id": 0, "chain": chain(), "writer": "imported"}
    assert [row["id"] for row in chains] == [0, 4, 5]
    reasons = {row["id"]: row["reason"] for row in read_table(out / "rejected.jsonl")}
    assert reasons.keys() == {1, 2, 3, 6}
    assert "no complete chain" in reasons[1]
    assert "broken.jpg is broken" in reasons[2]
    assert "'hats' is none of its options" in reasons[3]
    assert "unknown degradation 'fog'" in reasons[6]


# --- exports ---


@pytest.fixture
def samples(tmp_path):
    """Three samples with chains and one without: JPEG and PNG, options and none, one picture and two."""
    folder, rows = tmp_path / "samples", []
    for number in range(4):
        suffix = "jpg" if number == 2 else "png"
        picture(folder / f"degraded/{number:06d}.{suffix}", "maroon" if number else "olive")
        picture(folder / f"clean/{number:06d}.png")
        rows.append(
            {
                "id": number, "image": f"degraded/{number:06d}.{suffix}", "clean": f"clean/{number:06d}.png",
                "recipe": "lens blur(0.81)", "seed": 40 + number, "kind": "which", "source": "here",
                "question": "Which?", "options": ["hat", "cat"] if number else [], "answer": "cat",
                "answer_index": 1 if number else None,
                "cue": "whiskers", "thing": "cat", "others": ["dog"] if number else [], "place": "top left", "count": 1,
                "made_of": ["b.png"],
            }
        )  # fmt: skip
    picture(folder / "more/000003_1.png", "gold")
    rows[3]["more_images"] = ["more/000003_1.png"]
    (folder / "samples.jsonl").write_text(lines(rows))
    written = [{"id": number, "chain": chain("lens blur(0.8)", "cat"), "writer": "truth"} for number in (0, 2, 3)]
    (folder / "chains.jsonl").write_text(lines(written))
    return folder


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_exported_comes_back(samples, tmp_path, format):
    assert export(samples, tmp_path / "out", format) == 3
    take_as_they_are(open_source(str(tmp_path / "out")), tmp_path / "back")
    before = {row["id"]: row for row in read_table(samples / "samples.jsonl")}
    after = {row["id"]: row for row in read_table(tmp_path / "back/samples.jsonl")}
    assert after == {number: before[number] for number in (0, 2, 3)}
    for row in after.values():
        for name in (row["image"], row["clean"], *row.get("more_images", [])):
            assert (tmp_path / "back" / name).read_bytes() == (samples / name).read_bytes()
    chains = [(row["id"], row["chain"]) for row in read_table(tmp_path / "back/chains.jsonl")]
    assert chains == [(row["id"], row["chain"]) for row in read_table(samples / "chains.jsonl")]
    assert not list(read_table(tmp_path / "back/rejected.jsonl"))


def test_vlm_r1_layout(samples, tmp_path):
    export(samples, tmp_path / "out", "vlm-r1", template="{question}", clean=False)
    first, _, last = read_table(tmp_path / "out/train.jsonl")
    assert {key: value for key, value in first.items() if key != "sample"} == {
        "id": 0, "image": "degraded/000000.png", "conversations": [
            {"from": "human", "value": "<image>Which?"}, {"from": "gpt", "value": chain("lens blur(0.8)", "cat")},
        ],
    }  # fmt: skip
    assert last["image"] == ["degraded/000003.png", "more/000003_1.png"]
    assert last["conversations"][0]["value"] == "<image><image>Which?\n0. hat\n1. cat"
    assert files(tmp_path / "out") == {
        "train.jsonl", "degraded/000000.png", "degraded/000002.jpg", "degraded/000003.png", "more/000003_1.png",
    }  # fmt: skip


def test_llama_factory_layout(samples, tmp_path):
    export(samples, tmp_path / "mine", "llama-factory", refer=True)
    info = json.loads((tmp_path / "mine/dataset_info.json").read_text())
    assert info == {"mine": {"file_name": "train.json", "formatting": "sharegpt", **MESSAGES}}
    _, _, record = json.loads((tmp_path / "mine/train.json").read_text())
    asked = build_prompt(question_with_options("Which?", ["hat", "cat"]), DEFAULT_PROMPT)
    assert [message["role"] for message in record["messages"]] == ["user", "assistant"]
    assert record["messages"][0]["content"] == f"<image><image>{asked}"
    assert record["images"] == ["../samples/degraded/000003.png", "../samples/more/000003_1.png"]
    assert files(tmp_path / "mine") == {"train.json", "dataset_info.json"}
    # As LLaMA-Factory loads it.
    loaded = load_dataset("json", data_files=str(tmp_path / "mine/train.json"), split="train")
    assert loaded[0]["messages"][1]["content"] == chain("lens blur(0.8)", "cat")


def test_trl_layout(samples, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "SHARD_BYTES", 1)  # a file for each sample
    export(samples, tmp_path / "out", "trl")
    assert files(tmp_path / "out") == {f"data/train-{number:05d}-of-00003.parquet" for number in range(3)}
    loaded = load_dataset(str(tmp_path / "out"), split="train")
    assert [len(images) for images in loaded["images"]] == [1, 1, 2]
    assert loaded[0]["images"][0].getpixel((0, 0)) == (128, 128, 0)
    placeholders = [[part["type"] for part in row["prompt"][0]["content"]] for row in loaded]
    assert placeholders == [["image", "text"], ["image", "text"], ["image", "image", "text"]]
    assert all(parse_chain(row["completion"][0]["content"][0]["text"]).complete for row in loaded)


def test_trl_rows_are_what_sft_learns_from(samples, tmp_path):
    from training.sft import SFTArguments, sft_dataset  # TRL takes seconds to load

    (samples / "chains.jsonl").write_text(lines([{"id": number, "chain": chain(), "writer": "x"} for number in (0, 2)]))
    export(samples, tmp_path / "out", "trl")
    expected = sft_dataset(read_chained(samples), SFTArguments(samples=samples))
    exported = load_dataset(str(tmp_path / "out"), split="train").select_columns(expected.column_names)
    assert exported.features == expected.features
    for name in ("prompt", "completion"):
        assert exported[name][:] == expected[name][:]
    for one, other in zip(exported["images"], expected["images"], strict=True):
        assert [image.tobytes() for image in one] == [image.tobytes() for image in other]


def test_an_export_is_whole_or_not_there(samples, tmp_path):
    (samples / "degraded/000003.png").unlink()
    for format in FORMATS:
        with pytest.raises(FileNotFoundError):
            export(samples, tmp_path / "exports/out", format)
        assert not list((tmp_path / "exports").iterdir())


def test_an_export_overwrites_nothing(samples, tmp_path):
    before = files(samples)
    with pytest.raises(ValueError, match="holds something already"):
        export(samples, samples, "vlm-r1")
    with pytest.raises(ValueError, match="--refer is for"):
        export(samples, tmp_path / "out", "trl", refer=True)
    assert files(samples) == before and not (tmp_path / "out").exists()


def test_the_command_writes_an_export_or_says_what_is_wrong(samples, tmp_path, monkeypatch, capsys):
    def run(*arguments) -> int:
        monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments)])
        return exporting.main()

    (tmp_path / "prompt.txt").write_text("{question} Think.\n")
    options = ("--format", "vlm-r1", "--prompt-file", tmp_path / "prompt.txt", "--limit", "1", "--without-clean")
    assert run(samples, tmp_path / "out", *options) == 0
    (record,) = read_table(tmp_path / "out/train.jsonl")
    assert record["conversations"][0]["value"] == "<image>Which? Think."
    assert "clean" not in record and capsys.readouterr().out.endswith("out: 1 samples\n")
    assert run(samples, tmp_path / "out", *options) == 2
    assert "holds something already" in capsys.readouterr().err
    (samples / "chains.jsonl").unlink()
    assert run(samples, tmp_path / "new", *options) == 2
    assert "training.write" in capsys.readouterr().err
