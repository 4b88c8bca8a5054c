"""What the third column shows of a recovery, with the files behind its pictures."""

import hashlib
from pathlib import Path

from PIL import Image

from degradations import Recipe
from demo import photos
from demo.api import Workbench
from demo.recovery import panels
from demo.recovery.measures import changes
from demo.replies import Reply


class Shown:
    """The recovery of one run; its pictures are made here, but for the recovered one, which comes with the news."""

    def __init__(self, bench: Workbench, photo: Path, recipe: Recipe, seed: int, cache: Path):
        """`cache` is a folder that the page serves."""
        self._cache, self._degraded = cache, bench.degraded(photo, recipe, seed)
        self._pictures = {"degraded": saved(self._degraded, cache)}
        if recipe:  # of a photo to which nothing was done nobody knows whether it is clean
            self._pictures["clean"] = saved(bench.working_photo(photo), cache)

    def html(self, reply: Reply) -> str:
        """Everything that is shown of the recovery whose picture this side is to see."""
        news = reply.recovered
        image = news and news.image
        if image and "recovered" not in self._pictures:
            self._pictures["recovered"] = saved(image, self._cache)
            if image.size == self._degraded.size:  # a recording may come from a page whose models see another size
                self._pictures["changes"] = saved(changes(self._degraded, image).map, self._cache)
        return panels.recovery(news.state if news else panels.state_of(None), self._pictures)


def saved(image: Image.Image, cache: Path) -> str:
    """The path of a file with a picture, named by its pixels."""
    source = hashlib.sha256(image.tobytes()).hexdigest(), image.size
    return str(photos.save_once(source, cache, lambda: image))
