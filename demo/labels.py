"""Components whose labels, placeholders and choices are texts, and their switch to another language."""

from collections.abc import Callable

import gradio as gr

from demo.texts import DEFAULT, spoken


class Labels:
    """Makes components whose properties hold texts, and remembers them for the switch of the language."""

    def __init__(self):
        self._made: list[tuple[gr.blocks.Block, dict]] = []

    def __call__(self, kind: Callable, *arguments: object, **properties: object):
        """A component of this kind in English; every property may be or contain a `Text`.

        A component's `value` may be a text where it is the label, as a button's is.
        """
        component = kind(*spoken(arguments, DEFAULT), **{n: spoken(p, DEFAULT) for n, p in properties.items()})
        texts = {name: p for name, p in properties.items() if spoken(p, DEFAULT) != p}
        if texts:
            self._made.append((component, texts))
        return component

    @property
    def components(self) -> list:
        """Those that show texts, in the order of `updates`."""
        return [component for component, _ in self._made]

    def updates(self, language: str) -> list[dict]:
        """Gradio's updates that put all of them into one language; nothing else of them changes."""
        return [gr.update(**{name: spoken(p, language) for name, p in texts.items()}) for _, texts in self._made]
