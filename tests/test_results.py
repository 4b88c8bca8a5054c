"""The tab Results: folders of evaluations read and shown, also in a browser; no visitor reaches another folder."""

import json

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from demo.labels import Labels
from demo.results import folders, panels, tab
from demo.results.folders import Section, Table
from demo.texts import say
from tests.browsing import PATIENCE_MS, SIZES, screenshot, violations
from tests.running_app import run_app
from tests.spoken import spoken
from training.evaluation.tables import table, turned

FIGURE = {"value": 0.5, "low": 0.25, "high": 0.75}
REPORT = "\n\n".join(
    [
        "## Right answers, in per cent",
        table(turned({"robust": {"clean": FIGURE, "100 %": None}, "Gemma <3> (published)": {"clean": "71.01"}})),
        "## A set: 3 questions",
        "robust less each other side:",
        "| target | met |\n|---|---|\n| F1 | **no** |",
    ]
)


@pytest.fixture
def root(tmp_path):
    return write_evaluations(tmp_path)


def write_evaluations(folder):
    """Two evaluations, and a folder that is none."""
    for name in ("first", "second"):
        (folder / name / "plots").mkdir(parents=True)
        (folder / name / "results.md").write_text(REPORT)
        sides = ["baseline=a/b:direct", f"robust={name}=x:chain"]
        hashes = {"sides": {"robust": {"source": "f" * 64}}, "sets": {"set": "0" * 64}}
        told = {"sides": sides, "hashes": hashes, "judge": "<judge>" if name == "second" else None}
        (folder / name / "results.json").write_text(json.dumps(told))
        Image.new("RGB", (8, 6), "red").save(folder / name / "plots" / "types.png")
    (folder / "other").mkdir()
    return folder


def test_folders_are_found_by_themselves_and_in_another(root):
    assert folders.find(root) == [root / "first", root / "second"]
    assert folders.find(root / "second") == [root / "second"] and folders.find(root / "other") == []
    (root / "other" / "results.json").write_text("{}")  # of training.ablations, without a report
    assert folders.find(root) == [root / "first", root / "second"] and folders.find(root / "other") == []


def test_a_report_is_read_back_as_it_was_written(root):
    results = folders.read(root / "first")
    head = ("", "clean", "100 %")
    rows = (head, ("robust", "0.500 [0.250, 0.750]", "–"), ("Gemma <3> (published)", "71.01", "–"))
    assert results.sections == (
        Section("Right answers, in per cent", (Table(rows),)),
        Section("A set: 3 questions", ("robust less each other side:", Table((("target", "met"), ("F1", "**no**"))))),
    )
    assert results.sides == {"baseline": "a/b:direct", "robust": "first=x:chain"}
    assert results.hashes == {"robust": "f" * 12, "set": "0" * 12} and [path.name for path in results.plots] == [
        "types.png"
    ]


def test_published_rows_are_marked_and_nothing_is_markup(root):
    html = panels.report(folders.read(root / "second"))
    assert '<tr class="published"><th scope="row">Gemma &lt;3&gt; (published)</th>' in html
    assert html.count('class="published"') == 1 and "<b>no</b>" in html and "&lt;judge&gt;" in html
    assert "<judge>" not in html and html.count("<details open>") == 1 and html.count("<details>") == 1
    assert "没有选项的回答由" in spoken(html, "zh") and "were graded by" not in spoken(html, "zh")


def test_only_folders_of_the_server_are_shown(root):
    found = {path.name: path for path in folders.find(root)}
    html, plots = tab.show(found, "first")
    assert "0.500 [0.250, 0.750]" in html and [name for _, name in plots] == ["types"]
    assert np.asarray(plots[0][0])[0, 0].tolist() == [255, 0, 0]
    for name in ("../first", "other", str(root / "first"), ""):
        html, plots = tab.show(found, name)
        assert "There is no such evaluation" in html and plots == []
    (root / "first" / "results.json").write_text("{}")
    html, plots = tab.show(found, "first")
    assert "The files of first cannot be read" in html and plots == []


def test_the_tab_is_built_with_and_without_results(root):
    for folder, wanted in ((root, "results-report"), (None, None), (root / "other", None)):
        with gr.Blocks() as page:
            tab.build(folder, Labels())
        ids = {block.elem_id for block in page.blocks.values()}
        assert (wanted in ids) if wanted else not ids & {"results-report", "results-plots"}
        shown = " ".join(str(block.value) for block in page.blocks.values() if isinstance(block, gr.HTML))
        assert ("No evaluation here yet" in shown) == (wanted is None)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of an app with two evaluations, of which the first has a table wider than a phone."""
    folder = write_evaluations(tmp_path_factory.mktemp("results"))
    wide = table(turned({f"side {n}": {f"set {n}, {level}": FIGURE for level in range(9)} for n in range(3)}))
    with (folder / "first" / "results.md").open("a") as report:
        report.write("\n\n" + wide)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DEMO_RESULTS", str(folder))
        yield from run_app(tmp_path_factory.mktemp("app"), "app")


@pytest.mark.parametrize(("size", "scheme", "locale"), [("desktop", "light", "en-GB"), ("phone", "dark", "zh-CN")])
def test_an_evaluation_is_read_in_a_browser(served, browser, size, scheme, locale):
    width, height = SIZES[size]
    viewport = {"width": width, "height": height}
    with browser.new_context(viewport=viewport, color_scheme=scheme, locale=locale) as context:
        context.set_default_timeout(PATIENCE_MS)
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(served)
        page.get_by_role("tab", name=say("page.tab-results", "zh" if locale == "zh-CN" else "en")).click()
        report = page.locator("#results-report")
        expect(report.get_by_text("Right answers, in per cent")).to_be_visible()
        expect(report.get_by_text("0.500 [0.250, 0.750]").first).to_be_visible()
        expect(report).not_to_contain_text("<judge>")
        report.get_by_text("A set: 3 questions").click()
        expect(report.get_by_text("set 2, 8").first).to_be_attached()
        expect(page.locator("#results-plots img").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not violations(page)
        screenshot(page, f"{size}-{scheme}-results")
        page.click("#results-choice input")
        page.get_by_role("option", name="second").click()
        expect(report).to_contain_text("<judge>")
        assert not errors
