"""What a visitor reads of HTML that carries every language."""

import re

from demo.texts import LANGUAGES


def spoken(html: str, language: str = "en") -> str:
    """The HTML as a page in one language shows it."""
    for other in set(LANGUAGES) - {language}:
        html = re.sub(rf'<(\w+) class="said" lang="{other}">.*?</\1>', "", html, flags=re.DOTALL)
    return re.sub(rf'<(\w+) class="said" lang="{language}">(.*?)</\1>', r"\2", html, flags=re.DOTALL)
