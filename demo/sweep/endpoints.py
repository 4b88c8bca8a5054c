"""The sweep for scripts. Names, parameters and answers are stable; the state they stream is described in engine.py.

`/sweep` (image, question with its options, what, recipe, steps, seeds, seed, truth, temperature, max_new_tokens,
recovered):
`what` is a degradation's name, or ``recipe`` to scale the recipe as a whole; `steps` intensities from 0 to 1, `seeds`
degradations of each, counted on from `seed`; `truth` the right answer, empty where it is not known; `recovered` whether
every picture is recovered, too, and both are asked about.

`/matrix` (image, question, seed, truth, temperature, max_new_tokens, recovered): all types at the published strengths.

`/export_sweep`, `/export_matrix`: the same with a further `language` (``en`` or ``zh``, of the slide); they stream the
state and three files, CSV, JSON and a slide as PNG (exports.py), which are null until the last.
"""

import inspect
from collections.abc import Callable, Iterator

import gradio as gr

from degradations import REGISTRY, Recipe
from demo import settings
from demo.api import MODEL_QUEUE, Workbench, check_generation, told_to_the_caller, upload_path
from demo.sweep import exports
from demo.sweep.actions import begin, cache, thumbnails
from demo.sweep.engine import RECIPE, Run, sweep
from demo.texts import DEFAULT

ARGUMENTS = {
    "image": "the photo.",
    "question": 'with its options, one a line as "0. dog".',
    "what": 'a degradation\'s name, or "recipe" to scale the recipe as a whole.',
    "recipe": 'what is on besides, or what is scaled; such as "lens blur(0.31)", or "none".',
    "steps": "how many strengths from 0 to 1.",
    "seeds": "how many degradations of each strength.",
    "seed": "whole number; of several degradations the first one's, from which they count on.",
    "truth": "the right answer, empty where it is not known.",
    "temperature": "0 is greedy and repeatable; at most 2.",
    "max_new_tokens": "the most tokens of an answer.",
    "recovered": "whether the pictures are recovered first, for a third side that sees both.",
    "language": '"en" or "zh", of the slide\'s own words.',
}


def explained(endpoint: Callable) -> Callable:
    """Give an endpoint's docstring, from which Gradio tells agents what to send, a line for each of its arguments."""
    does, returns = inspect.getdoc(endpoint).split("\n\nReturns:")
    arguments = [f"    {name}: {ARGUMENTS[name]}" for name in inspect.signature(endpoint).parameters]
    endpoint.__doc__ = "\n".join([f"{does}\n", "Args:", *arguments, f"\nReturns:{returns}"])
    return endpoint


def register(bench: Workbench) -> None:
    """Add the endpoints to the Blocks being built; their components are never shown."""

    @explained
    def run_sweep(image, question, what, recipe, steps, seeds, seed, truth, temperature, max_new_tokens, recovered):
        """Ask both models at many strengths of one degradation or recipe; streams the state as JSON.

        Returns:
            A JSON object: progress, steps with both answers, and from where on each model is wrong.
        """
        with told_to_the_caller():
            run = sweep_of(question, what, recipe, steps, seeds, seed, truth, recovered)
            yield from states(image, run, seed, temperature, max_new_tokens)

    @explained
    def run_matrix(image, question, seed, truth, temperature, max_new_tokens, recovered):
        """Ask both models about all sixteen degradations at three strengths; streams the state as JSON.

        Returns:
            A JSON object: progress and steps with both answers.
        """
        with told_to_the_caller():
            yield from states(image, matrix_of(question, seed, truth, recovered), seed, temperature, max_new_tokens)

    @explained
    def export_sweep(
        image, question, what, recipe, steps, seeds, seed, truth, temperature, max_new_tokens, recovered, language
    ):
        """Ask both models at many strengths of one degradation or recipe, and get the results as files, too.

        Returns:
            A JSON object as run_sweep gives it; when all is done also a CSV, a JSON file and a slide of 1920 × 1080.
        """
        with told_to_the_caller():
            exports.check_language(language)
            run = sweep_of(question, what, recipe, steps, seeds, seed, truth, recovered)
            yield from exported(image, run, seed, temperature, max_new_tokens, language)

    @explained
    def export_matrix(image, question, seed, truth, temperature, max_new_tokens, recovered, language):
        """Ask both models about all sixteen degradations at three strengths, and get the results as files, too.

        Returns:
            A JSON object as run_matrix gives it; when all is done also a CSV, a JSON file and a slide of 1920 × 1080.
        """
        with told_to_the_caller():
            exports.check_language(language)
            run = matrix_of(question, seed, truth, recovered)
            yield from exported(image, run, seed, temperature, max_new_tokens, language)

    def sweep_of(question, what, recipe, steps, seeds, seed, truth, recovered) -> Run:
        kind = "recipe" if what == RECIPE else "type"
        asked = steps, seeds, seed, question, truth, bool(recovered)
        return begin(bench, kind, what, Recipe.parse(recipe or ""), *asked)

    def matrix_of(question, seed, truth, recovered) -> Run:
        asked = settings.SWEEP_STEPS, 1, seed, question, truth, bool(recovered)
        return begin(bench, "matrix", "", Recipe(), *asked)

    def exported(image, run: Run, seed, temperature, max_new_tokens, language) -> Iterator[tuple]:
        state, waiting = None, [None] * len(exports.FORMATS)
        for state in states(image, run, seed, temperature, max_new_tokens):
            yield state, *waiting
        pictures = thumbnails(bench, upload_path(image), state, folder)
        yield state, *map(str, exports.write(state, pictures, language, folder))

    def states(image, run: Run, seed, temperature, max_new_tokens) -> Iterator[dict]:
        for now in sweep(bench, upload_path(image), run, *check_generation(seed, temperature, max_new_tokens)):
            yield now.as_json()

    folder = cache()
    with gr.Group(visible=False):
        image = gr.Image(type="filepath", format="png", label="image")
        question = gr.Textbox(label="question")
        what = gr.Textbox(next(iter(REGISTRY)), label="what")
        recipe = gr.Textbox("none", label="recipe")
        steps = gr.Number(settings.SWEEP_STEPS, precision=0, label="steps")
        seeds = gr.Number(1, precision=0, label="seeds")
        seed = gr.Number(settings.SEED, precision=0, label="seed")
        truth = gr.Textbox("", label="truth")
        temperature = gr.Number(settings.TEMPERATURE, label="temperature")
        max_new_tokens = gr.Number(bench.pair.max_new_tokens, precision=0, label="max_new_tokens")
        recovered = gr.Checkbox(False, label="recovered")
        language = gr.Textbox(DEFAULT, label="language")
        state = gr.JSON(label="state")
        files = [gr.File(label=kind) for kind in exports.FORMATS]
        last = [truth, temperature, max_new_tokens, recovered]
        of_sweep, of_matrix = [image, question, what, recipe, steps, seeds, seed, *last], [image, question, seed, *last]
        for function, name, inputs, outputs in (
            (run_sweep, "sweep", of_sweep, state),
            (run_matrix, "matrix", of_matrix, state),
            (export_sweep, "export_sweep", [*of_sweep, language], [state, *files]),
            (export_matrix, "export_matrix", [*of_matrix, language], [state, *files]),
        ):
            gr.Button().click(function, inputs, outputs, preprocess=False, api_name=name, **MODEL_QUEUE)
