"""The report of a dataset: its figures by hand, its page in a real browser."""

import json
import re
import shutil
import sys

import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from degradations import REGISTRY, Recipe
from demo.chain import format_chain
from tests import tiny
from training import report
from training.report import chosen, generic, measure


def row(number: int, recipe: str, **changes) -> dict:
    return {
        "id": number, "image": f"degraded/{number}.png", "clean": f"clean/{number}.png", "recipe": recipe,
        "seed": number, "kind": "object", "source": "here", "question": "What is it?", "options": ["cat", "hat"],
        "answer": "hat", "answer_index": 1,
    } | changes  # fmt: skip


def chain(number: int, words: int, writer: str = "truth") -> dict:
    return {"id": number, "chain": "word " * words, "writer": writer}


SAMPLES = [
    row(0, "none"),
    row(1, "lens blur(0.5)", answer="cat"),
    row(2, "lens blur(0.62), graffiti(1.0)", kind="other", options=[], answer_index=None),
    row(3, "graffiti(0.25)"),
    {"id": 4, "error": "its picture x.png is broken or incomplete"},
]
CHAINS = {number: chain(number, words) for number, words in ((0, 20), (1, 10), (2, 42))}
REJECTED = [
    {"id": 3, "reason": "answers 'cat', and the truth is 'hat'", "chain": "<TYPE>"},
    {"id": 5, "reason": "answers 'dog', and the truth is 'hat'", "chain": None},
    {"id": 6, "reason": "block 3 of 5 is missing", "chain": "<b>"},
]


def words(text: str) -> int:
    return len(text.split())


def test_the_figures_by_hand():
    figures = measure(SAMPLES, CHAINS, REJECTED, words)
    assert [figures[name] for name in ("samples", "chains", "rejected", "failed")] == [4, 3, 3, 1]
    assert figures["types_per_picture"] == {0: 1, 1: 2, 2: 1}
    assert figures["types"].keys() == REGISTRY.keys()
    blur = figures["types"]["lens blur"]
    assert (blur["pictures"], blur["by_number_of_types"], blur["mean_intensity"]) == (2, {1: 1, 2: 1}, 0.56)
    assert [place for place, count in enumerate(blur["intensities"]) if count] == [10, 12]  # 20 bins of 0.05
    assert figures["types"]["graffiti"]["intensities"][-1] == 1  # of 1.0
    assert (
        figures["types"]["motion blur"]["pictures"] == 0 and figures["types"]["motion blur"]["mean_intensity"] is None
    )
    assert figures["answers"] == {"hat": 3, "cat": 1} and figures["kinds"] == {"object": 3, "other": 1}
    assert figures["answered_by_choice"] == 3 and figures["writers"] == {"truth": 3}
    assert figures["reasons"] == {"answers …, and the truth is …": 2, "block … of … is missing": 1}
    length = figures["chain_length"]
    assert (length["mean"], length["median"]) == (24.0, 20.0)
    # Totals 0, 0.5, 1.62, lengths 20, 10, 42: the deviations' products sum to 22.16, their squares to 1.37627 and 536.
    assert length["correlation_with_total_intensity"] == pytest.approx(22.16 / (1.37627 * 536) ** 0.5, abs=1e-4)
    assert [(part["from"], part["chains"], part["mean"]) for part in length["by_total_intensity"]] == [
        (0.0, 1, 20.0), (0.5, 1, 10.0), (1.5, 1, 42.0),
    ]  # fmt: skip


def test_what_is_not_there_is_none():
    assert measure(SAMPLES, {}, [], words)["chain_length"] is None
    flat = measure(SAMPLES, {0: chain(0, 5), 1: chain(1, 5)}, [], words)
    assert flat["chain_length"]["correlation_with_total_intensity"] is None


def test_reasons_lose_what_they_quote():
    assert generic("its answer 'hats' is none of its options ['a', 'b']") == "its answer … is none of its options …"
    assert generic('TYPE says "0.31", not 0.3') == "TYPE says …, not …"
    assert generic("r1 chains differ") == "r1 chains differ"


def test_the_samples_shown_grow_in_intensity_and_have_chains():
    rows = [row(number, f"graffiti({1 - number / 100:.2f})") for number in range(99)] + [SAMPLES[4]]
    totals = [Recipe.parse(sample["recipe"]).total for sample in chosen(rows, {})]
    assert totals == pytest.approx([0.02, 0.21, 0.41, 0.61, 0.8, 1.0], abs=0.011)
    assert [sample["id"] for sample in chosen(SAMPLES, CHAINS)] == [0, 1, 2]


@pytest.fixture
def folder(tmp_path):
    """A dataset of twelve samples, one of them of hostile words, with chains of most."""
    folder = tmp_path / "dataset"
    rows, chains = [], []
    for number in range(12):
        recipe = Recipe({"lens blur": number / 12, "graffiti": number % 3 / 3})
        for kind in ("clean", "degraded"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 24), (20 * number, 90, 60)).save(folder / kind / f"{number}.png")
        rows.append(row(number, str(recipe), source="a" * 60 if number % 2 else "here"))
        text = format_chain(recipe, "Edges are soft.", ("It has a brim. " * (1 + number)).strip(), "It is a hat.", "1")
        chains.append({"id": number, "chain": text, "writer": "truth"})
    rows[0] |= {"question": "<script>document.title = 'x'</script>", "answer": "$5 & $<b>", "clean": None, "seed": None}
    write(folder / "samples.jsonl", [*rows, SAMPLES[4] | {"id": 12}])
    write(folder / "chains.jsonl", chains[:10])
    write(folder / "rejected.jsonl", REJECTED)
    return folder


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
    return report.main()


def test_the_page_reads_well_on_every_screen(folder, tmp_path, monkeypatch):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    out = tmp_path / "report.html"
    assert run(monkeypatch, folder, out) == 0
    colours, asked = set(), []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width, scheme in ((1200, "light"), (360, "dark")):
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page = context.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.goto(out.as_uri())
            assert page.title() == "dataset: a dataset in plots"
            assert page.evaluate("document.documentElement.scrollWidth") == width
            labels = page.locator("svg text")
            assert min(box["height"] for box in (label.bounding_box() for label in labels.all())) > 8
            assert "$5 & $<b>" in labels.all_text_contents()
            colours.add(labels.first.evaluate("node => getComputedStyle(node).fill"))
            assert page.locator("article img").evaluate_all("all => all.every(one => one.naturalWidth == 32)")
        assert [plot.get_attribute("aria-label") for plot in page.locator("svg").all()] == [
            f"plot: {name}" for name in ("number", "types", "length", "intensities", "kinds", "sources", "answers")
        ]
        assert "<script>document.title" in page.locator("article h3").first.inner_text()
        page.locator("summary").first.click()
        assert page.locator("pre").first.inner_text() == "<TYPE>"
        browser.close()
    assert len(colours) == 2  # ink follows the scheme
    assert all(url.startswith(("file:", "data:")) for url in asked)


def test_the_figures_lie_beside_the_page(folder, tmp_path, monkeypatch):
    model = tiny.qwen(tmp_path / "model")
    assert run(monkeypatch, folder, tmp_path / "words.html") == 0
    assert run(monkeypatch, folder, tmp_path / "tokens.html", "--model", model) == 0
    by_word, by_token = (json.loads((tmp_path / f"{unit}.json").read_text()) for unit in ("words", "tokens"))
    assert by_word["samples"] == 12 and by_word["failed"] == 1 and by_word["rejected"] == 3
    assert by_word["points"]["length"][0] == 1 + 3 + 4 + 4 + 1  # of the first chain, block by block
    assert by_token["chain_length"]["mean"] > by_word["chain_length"]["mean"]
    assert "tokens in the chain" in (tmp_path / "tokens.html").read_text()
    page = (tmp_path / "words.html").read_text()
    assert "words in the chain" in page and not re.search(r"""(src|href)=["']?(https?:)?//""", page)


def test_a_dataset_without_chains_has_a_report(folder, tmp_path, monkeypatch):
    (folder / "chains.jsonl").unlink()
    (folder / "rejected.jsonl").unlink()
    write(folder / "samples.jsonl", [row(0, "none")])
    assert run(monkeypatch, folder, tmp_path / "out.html") == 0
    page = (tmp_path / "out.html").read_text()
    assert "no chain yet" in page and "no degradation" in page and 'id="length"' not in page


def test_the_command_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, tmp_path, tmp_path / "out.html") == 2
    assert "make them with python -m training.synthesize" in capsys.readouterr().err
    assert run(monkeypatch, tmp_path, tmp_path / "out.pdf") == 2
    assert "has to end in .html" in capsys.readouterr().err
    assert run(monkeypatch, tmp_path, tmp_path / "out.html", "--model", tmp_path) == 2
    assert "there is no config.json in this folder" in capsys.readouterr().err
