"""Recovery for scripts; there where the server has a recovery. States are described in panels.py.

`/recover` (image, recipe, seed): degrades the picture by the recipe, at the models' size, and recovers it; streams
the state as JSON and, with the last one, the recovered picture as a PNG.

`/answer_recovered` (image, question with its options, recipe, seed, temperature, max_new_tokens): the same, then the
question from both pictures; streams ``{"recovery": state, "recovered": side or null}``, a side as `/compare` has it.
"""

from contextlib import closing

import gradio as gr

from degradations import Recipe
from demo import settings
from demo.api import MODEL_QUEUE, Workbench, check_generation, check_question, check_seed, states, told_to_the_caller
from demo.api import upload_path as path_of
from demo.chain import parse_options
from demo.recovery.joint import NAME
from demo.recovery.run import Run


def register(bench: Workbench) -> None:
    """Add the endpoints to the Blocks being built; their components are never shown."""

    def recover(image, recipe, seed):
        """Degrade and recover a picture; streams the state as JSON, and the recovered picture once there is one."""
        with told_to_the_caller():
            run = Run(bench, path_of(image), Recipe.parse(recipe or ""), check_seed(seed))
            try:
                for state in run.wait():
                    yield plain(state), run.recovered
            finally:
                run.close()

    def answer_recovered(image, question, recipe, seed, temperature, max_new_tokens):
        """Recover a degraded picture, then ask about both; streams JSON with the keys recovery and recovered."""
        with told_to_the_caller():
            asked = check_question(question)
            seed, *numbers = check_generation(seed, temperature, max_new_tokens)
            run = Run(bench, path_of(image), Recipe.parse(recipe or ""), seed)
            try:
                for state in run.wait():
                    yield {"recovery": plain(state), "recovered": None}
                if run.recovered is not None:
                    events = run.events(asked, *numbers, seed)
                    with closing(states(events, parse_options(asked), (NAME,))) as told:
                        for sides in told:
                            yield {"recovery": plain(run.state()), "recovered": sides[NAME]}
            finally:
                run.close()

    with gr.Group(visible=False):
        image = gr.Image(type="filepath", format="png", label="image")
        recipe = gr.Textbox("none", label="recipe")
        seed = gr.Number(settings.SEED, precision=0, label="seed")
        question = gr.Textbox(label="question")
        temperature = gr.Number(settings.TEMPERATURE, label="temperature")
        max_new_tokens = gr.Number(bench.joint.max_new_tokens, precision=0, label="max_new_tokens")
        gr.Button().click(
            recover,
            [image, recipe, seed],
            [gr.JSON(label="state"), gr.Image(format="png", label="recovered")],
            preprocess=False,
            api_name="recover",
            **MODEL_QUEUE,
        )
        gr.Button().click(
            answer_recovered,
            [image, question, recipe, seed, temperature, max_new_tokens],
            gr.JSON(label="recovery and recovered"),
            preprocess=False,
            api_name="answer_recovered",
            **MODEL_QUEUE,
        )


def plain(state: dict) -> dict:
    """A state whose error is English, whatever the page's language."""
    return state | {"error": None if state["error"] is None else str(state["error"])}
