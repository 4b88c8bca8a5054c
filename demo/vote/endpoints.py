"""Voting for scripts and agents. Names, parameters and answers are stable."""

import gradio as gr

from degradations import Recipe
from demo import api, settings
from demo.annotate import asking
from demo.annotate.service import Service
from demo.api import told_to_the_caller, upload_path
from demo.vote.figures import results
from demo.vote.voting import Voting


def register(voting: Voting, service: Service) -> None:
    """Add the endpoints to the Blocks being built; their components are never shown."""

    def ask_blind(image, question, recipe, seed, temperature, max_new_tokens):
        """Ask two of the page's sides, which are drawn, about a degraded photo and get their answers without names.

        Args:
            image: the photo; without one, an example under degradations that are drawn, and nothing else is read.
            question: with its options, one a line as "0. dog".
            recipe: such as "lens blur(0.31)", or "none".
            seed: whole number.
            temperature: 0 is greedy.
            max_new_tokens: the most tokens of an answer.

        Returns:
            A JSON object: ballot (vote by it within an hour), question, options, a, b (the answers); and the degraded
            picture.
        """
        with told_to_the_caller():
            if image:
                chosen = Recipe.parse(recipe or "")
                asked = voting.question(upload_path(image), question, chosen, seed, temperature, max_new_tokens)
            else:
                asked = voting.drawn()
            *_, ballot = voting.asking(asked)
            said = {place: ballot.said[side] for place, side in ballot.sides.items()}
            told = {"ballot": ballot.id, "question": ballot.question, "options": list(ballot.options), **said}
            return told, voting.picture(asked)

    def vote(request: gr.Request, ballot, better, right, voter):
        """Vote on two answers; the vote is in the database when this returns, and the names are told.

        Args:
            ballot: what ask_blind gave.
            better: which answer is better: "a", "b", "both" or "neither".
            right: which answer is right: the same, or empty if you cannot say.
            voter: a mark of your own that stays the same; of several votes on one question the first counts.

        Returns:
            A JSON object: counted, a and b (side, model, text), answer (the right one, null if it is not known).
        """
        with told_to_the_caller():
            voted, counted = voting.vote(ballot, better, right, voter or request.session_hash)
            told = {
                place: {"side": side, "model": voted.models[side]["name"], "text": voted.replies[side]}
                for place, side in voted.sides.items()
            }
            return {"counted": counted, **told, "answer": voted.answer}

    def vote_results():
        """How often each side has won, with 95 % intervals, by pair of models.

        Returns:
            A list of JSON objects: models, votes, voters, items, standings of "better" and "right" (wins of both
            sides, ties, share among decided votes of the side that stands last in models, low, high), first (the share
            of wins of the answer that stood first).
        """
        return [one.as_json() for one in results(voting.box.votes())]

    def export_votes(request: gr.Request, profile: gr.OAuthProfile | None, name, key, format):
        """For operators: all votes as a file.

        Args:
            name: of the operator.
            key: of the operator.
            format: "jsonl" or "csv".

        Returns:
            The file.
        """
        with told_to_the_caller():
            service.access.operator(asking.who(service, request, profile, name, key))
            return voting.export(format)

    with gr.Group(visible=False):
        image = gr.Image(type="filepath", format="png", label="image")
        question, recipe = gr.Textbox(label="question"), gr.Textbox("none", label="recipe")
        seed = gr.Number(settings.SEED, precision=0, label="seed")
        temperature = gr.Number(settings.TEMPERATURE, label="temperature")
        max_new_tokens = gr.Number(voting.bench.pair.max_new_tokens, precision=0, label="max_new_tokens")
        ballot, better = gr.Textbox(label="ballot"), gr.Textbox(label="better")
        right, voter = gr.Textbox("", label="right"), gr.Textbox("", label="voter")
        name, key = gr.Textbox(label="name"), gr.Textbox(label="key")
        format = gr.Textbox("jsonl", label="format")
        answer = gr.JSON(label="answer")
        picture = gr.Image(type="filepath", format="png", label="picture")

        # No name that a method behind the page has: Gradio would give it to that and number this one.
        def add(function, endpoint, inputs, output, **more):
            options = {"concurrency_limit": settings.DEGRADE_CONCURRENCY, **more}
            gr.Button().click(function, inputs, output, preprocess=False, api_name=endpoint, **options)

        asked = [image, question, recipe, seed, temperature, max_new_tokens]
        add(ask_blind, "vote_pair", asked, [answer, picture], **api.MODEL_QUEUE)
        add(vote, "vote_cast", [ballot, better, right, voter], answer)
        add(vote_results, "vote_results", [], answer)
        add(export_votes, "vote_export", [name, key, format], gr.File(label="votes"))
