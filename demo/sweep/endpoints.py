"""The sweep for scripts. Names, parameters and answers are stable; the state they stream is described in engine.py.

`/sweep` (image, question with its options, what, recipe, steps, seeds, seed, truth, temperature, max_new_tokens,
recovered):
`what` is a degradation's name, or ``recipe`` to scale the recipe as a whole; `steps` intensities from 0 to 1, `seeds`
degradations of each, counted on from `seed`; `truth` the right answer, empty where it is not known; `recovered` whether
every picture is recovered, too, and both are asked about.

`/matrix` (image, question, seed, truth, temperature, max_new_tokens, recovered): all types at the published strengths.
"""

from collections.abc import Iterator

import gradio as gr

from degradations import REGISTRY, Recipe
from demo import settings
from demo.api import MODEL_QUEUE, Workbench, check_generation, told_to_the_caller, upload_path
from demo.sweep.actions import begin
from demo.sweep.engine import RECIPE, Run, sweep


def register(bench: Workbench) -> None:
    """Add the endpoints to the Blocks being built; their components are never shown."""

    def run_sweep(image, question, what, recipe, steps, seeds, seed, truth, temperature, max_new_tokens, recovered):
        """Ask both models at many strengths of one degradation or recipe; streams the state as JSON.

        Args:
            image: the photo.
            question: with its options, one a line as "0. dog".
            what: a degradation's name, or "recipe" to scale the recipe as a whole.
            recipe: what is on besides, or what is scaled; such as "lens blur(0.31)", or "none".
            steps: how many strengths from 0 to 1.
            seeds: how many degradations of each strength.
            seed: the first of them, a whole number.
            truth: the right answer, empty where it is not known.
            temperature: 0 is greedy and repeatable; at most 2.
            max_new_tokens: the most tokens of an answer.
            recovered: whether the pictures are recovered first, for a third side that sees both.

        Returns:
            A JSON object: progress, steps with both answers, and from where on each model is wrong.
        """
        with told_to_the_caller():
            kind = "recipe" if what == RECIPE else "type"
            asked = steps, seeds, seed, question, truth, bool(recovered)
            run = begin(bench, kind, what, Recipe.parse(recipe or ""), *asked)
            yield from states(image, run, seed, temperature, max_new_tokens)

    def run_matrix(image, question, seed, truth, temperature, max_new_tokens, recovered):
        """Ask both models about all sixteen degradations at three strengths; streams the state as JSON.

        Args:
            image: the photo.
            question: with its options, one a line as "0. dog".
            seed: whole number.
            truth: the right answer, empty where it is not known.
            temperature: 0 is greedy and repeatable; at most 2.
            max_new_tokens: the most tokens of an answer.
            recovered: whether the pictures are recovered first, for a third side that sees both.

        Returns:
            A JSON object: progress and steps with both answers.
        """
        with told_to_the_caller():
            asked = settings.SWEEP_STEPS, 1, seed, question, truth, bool(recovered)
            run = begin(bench, "matrix", "", Recipe(), *asked)
            yield from states(image, run, seed, temperature, max_new_tokens)

    def states(image, run: Run, seed, temperature, max_new_tokens) -> Iterator[dict]:
        for now in sweep(bench, upload_path(image), run, *check_generation(seed, temperature, max_new_tokens)):
            yield now.as_json()

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
        last = [truth, temperature, max_new_tokens, recovered]
        gr.Button().click(
            run_sweep,
            [image, question, what, recipe, steps, seeds, seed, *last],
            gr.JSON(label="state"),
            preprocess=False,
            api_name="sweep",
            **MODEL_QUEUE,
        )
        gr.Button().click(
            run_matrix,
            [image, question, seed, *last],
            gr.JSON(label="state"),
            preprocess=False,
            api_name="matrix",
            **MODEL_QUEUE,
        )
