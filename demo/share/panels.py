"""What the panel Share shows, as HTML. Pure functions."""

from demo.markup import file_address
from demo.texts import shown


def made_card(path: str | None) -> str:
    """A picture card as a link that downloads it; nothing before there is one."""
    if path is None:
        return ""
    address = file_address(path)
    return (
        f'<a class="made-card" href="{address}" download="card.png"><img src="{address}" alt="">'
        f"<span>{shown('share.download-card')}</span></a>"
    )
