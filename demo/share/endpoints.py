"""Sharing for scripts and agents. Names, parameters and answers are stable.

A *run* is a JSON file as `demo.present.recording` describes it: everything that is needed to repeat a comparison.
"""

import gradio as gr

from degradations import Recipe
from demo import api, settings
from demo.annotate import asking
from demo.annotate.service import Service
from demo.api import Workbench, check_generation, check_question, told_to_the_caller, upload_path
from demo.chain import parse_options
from demo.compare.answering import Asked
from demo.examples import known_answer
from demo.recovery.endpoints import plain
from demo.recovery.run import events
from demo.share import links
from demo.share.actions import Sharing, recording_of


def register(bench: Workbench, sharing: Sharing, annotating: Service | None) -> None:
    """Add the endpoints to the Blocks being built; their components are never shown.

    Args:
        annotating: knows who is an operator; without it nobody may list and remove what others have shared.
    """

    def record_run(image, question, recipe, seed, temperature, max_new_tokens, recovered):
        """Ask both models about a degraded photo and get the whole run as a JSON file: question, recipe, seed,
        settings, replies with their pace, checkpoint hashes, prompts and versions. It can be repeated and played back.

        Args:
            image: the photo.
            question: with its options, one a line as "0. dog", or without for an open question.
            recipe: degradations with intensities in (0, 1], such as "lens blur(0.31), gaussian noise(0.5)", or "none".
            seed: whole number; the same seed degrades and samples alike.
            temperature: 0 is greedy and repeatable.
            max_new_tokens: the most tokens of an answer.
            recovered: true to recover the photo meanwhile, and to ask a third side about both pictures.

        Returns:
            The run's file.
        """
        with told_to_the_caller():
            whole, chosen = check_question(question), Recipe.parse(recipe or "")
            numbers, path = check_generation(seed, temperature, max_new_tokens), upload_path(image)
            listed = parse_options(whole)
            correct = known_answer(sharing.examples, path, links.of_question(whole, listed), listed)
            asked = Asked(path, whole, listed, correct)
            told = events(bench, path, whole, chosen, *numbers, recover=bool(recovered))
            recorder = sharing.answers.recorder(asked, chosen, *numbers, bool(recovered))
            for _ in recorder.record(told):
                pass
            return sharing.answers.keep(recorder.recording())

    def read_run(run):
        """Read a run's file: what was asked of which models, and what all of them replied.

        Args:
            run: a JSON file, as record_run gives it and the page's "Keep this run".

        Returns:
            A JSON object: made, models, question, recipe, seed, temperature, max_new_tokens, replies, versions,
            checkpoints; and recovery (its figures, or the error why there is none) where the photo was recovered.
        """
        with told_to_the_caller():
            recording = recording_of(run)
            return {
                "made": recording.made,
                "models": dict(recording.models),
                "question": recording.question,
                "recipe": str(recording.recipe),
                "seed": recording.seed,
                "temperature": recording.temperature,
                "max_new_tokens": recording.max_new_tokens,
                "replies": recording.replies,
                **recording.provenance,
                **({"recovery": plain(recording.recovery[1].state)} if recording.recovery else {}),
            }

    def draw_card(run, language):
        """Draw a run as a picture for a chat or a slide: 1600 × 900 pixels.

        Args:
            run: a JSON file, as record_run gives it.
            language: "en" or "zh", of the card's own words.

        Returns:
            A PNG.
        """
        with told_to_the_caller():
            return sharing.card(recording_of(run), language)

    def make_link(image, upload, question, recipe, seed, temperature, max_new_tokens, recovered):
        """Make a link that opens the page with a photo, question, recipe, seed and settings filled in.

        Args:
            image: the photo; it is in the link if it is one of the examples, or was shared.
            upload: the id that share_photo gave for it; empty for an example.
            question: with its options, one a line as "0. dog".
            recipe: such as "lens blur(0.31)", or "none".
            seed: whole number.
            temperature: 0 is greedy.
            max_new_tokens: the most tokens of an answer.
            recovered: true to switch the recovery on.

        Returns:
            The query that follows the page's address.
        """
        with told_to_the_caller():
            whole = check_question(question) if question else ""
            listed = parse_options(whole)
            numbers = check_generation(seed, temperature, max_new_tokens)
            path = upload_path(image) if image else None
            state = sharing.state(
                path, links.of_question(whole, listed), listed, Recipe.parse(recipe or ""), numbers, upload, recovered
            )
            return state.as_query()

    def open_link(link):
        """Read what a link holds.

        Args:
            link: a whole address of the page, or its query alone.

        Returns:
            A JSON object: photo, upload, question, options, recipe, seed, temperature, max_new_tokens, recover; and the
            photo.
        """
        with told_to_the_caller():
            _, _, query = str(link or "").rpartition("?")
            state = links.read(query, bench.pair.max_new_tokens) or links.State(
                max_new_tokens=bench.pair.max_new_tokens
            )
            photo = sharing.photo_of(state)
            told = vars(state) | {"options": list(state.options), "recipe": str(state.recipe)}
            return told, None if photo is None else str(photo)

    def share_photo(image, consent):
        """Keep a photo on this server, so that links can lead to it: at the size the models see, without metadata.
        Whoever knows its id sees it until it expires or is deleted.

        Args:
            image: the photo.
            consent: true if the photo may be kept and seen by others; nothing is kept otherwise.

        Returns:
            A JSON object: upload (its id), key (which deletes it), until (when it expires), forgets (whether this
            server may forget it at a restart).
        """
        with told_to_the_caller():
            shared = sharing.share(upload_path(image), consent)
            return {
                "upload": shared.id,
                "key": shared.key,
                "until": shared.until.isoformat(timespec="seconds"),
                "forgets": sharing.uploads.forgets,
            }

    def delete_shared_photo(upload, key):
        """Delete a photo that was shared.

        Args:
            upload: its id.
            key: what share_photo gave with it.

        Returns:
            A JSON object: deleted, the id.
        """
        with told_to_the_caller():
            sharing.delete(upload, key)
            return {"deleted": upload}

    def list_shared_photos(request: gr.Request, profile: gr.OAuthProfile | None, name, key):
        """For operators: all photos that are shared now.

        Args:
            name: of the operator.
            key: of the operator.

        Returns:
            A list of JSON objects: id, at, until, bytes, width, height.
        """
        with told_to_the_caller():
            annotating.access.operator(asking.who(annotating, request, profile, name, key))
            return sharing.uploads.listed() if sharing.uploads else []

    def remove_shared_photo(request: gr.Request, profile: gr.OAuthProfile | None, name, key, upload):
        """For operators: delete a photo that somebody shared.

        Args:
            name: of the operator.
            key: of the operator.
            upload: the photo's id.

        Returns:
            A JSON object: deleted, the id.
        """
        with told_to_the_caller():
            annotating.access.operator(asking.who(annotating, request, profile, name, key))
            if sharing.uploads:
                sharing.uploads.remove(upload)
                sharing.forget(upload)
            return {"deleted": upload}

    with gr.Group(visible=False):
        image = gr.Image(type="filepath", format="png", label="image")
        question, recipe = gr.Textbox(label="question"), gr.Textbox("none", label="recipe")
        seed = gr.Number(settings.SEED, precision=0, label="seed")
        temperature = gr.Number(settings.TEMPERATURE, label="temperature")
        max_new_tokens = gr.Number(bench.pair.max_new_tokens, precision=0, label="max_new_tokens")
        run, language = gr.File(label="run"), gr.Textbox("en", label="language")
        upload, link = gr.Textbox("", label="upload"), gr.Textbox(label="link")
        consent = gr.Checkbox(False, label="consent")
        name, key = gr.Textbox(label="name"), gr.Textbox(label="key")
        answer, file = gr.JSON(label="answer"), gr.File(label="file")
        picture = gr.Image(type="filepath", format="png", label="picture")
        recovered = gr.Checkbox(False, label="recovered")
        asked = [question, recipe, seed, temperature, max_new_tokens]

        # No name that a method behind the page has: Gradio would give it to that and number this one.
        def add(function, endpoint, inputs, output, **more):
            options = {"concurrency_limit": settings.DEGRADE_CONCURRENCY, **more}
            gr.Button().click(function, inputs, output, preprocess=False, api_name=endpoint, **options)

        add(record_run, "record_run", [image, *asked, recovered], file, **api.MODEL_QUEUE)
        add(read_run, "read_run", [run], answer)
        add(draw_card, "draw_card", [run, language], picture)
        add(make_link, "make_link", [image, upload, *asked, recovered], gr.Textbox(label="query"))
        add(open_link, "open_link", [link], [answer, picture])
        add(share_photo, "share_photo", [image, consent], answer)
        add(delete_shared_photo, "delete_photo", [upload, key], answer)
        if annotating:
            add(list_shared_photos, "shared_photos", [name, key], answer)
            add(remove_shared_photo, "remove_photo", [name, key, upload], answer)
