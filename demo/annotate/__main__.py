"""Keys for annotators: ``DEMO_ANNOTATION_SECRET=… python -m demo.annotate invite anna --address https://…``."""

import argparse
import os
import sys
from urllib.parse import urlencode

from demo import settings
from demo.annotate.access import Access


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.annotate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    invite = commands.add_parser("invite", help="print the link by which somebody annotates under their name")
    invite.add_argument("name")
    invite.add_argument("--operator", action="store_true", help="they may open batches, export and import, too")
    invite.add_argument("--address", default="", help="of the page")
    options = parser.parse_args(arguments)
    secret = os.environ.get(settings.ANNOTATION_SECRET)
    try:
        if not secret:
            raise ValueError(f"set {settings.ANNOTATION_SECRET} to what the server was started with")
        key = Access(secret).key(options.name, options.operator)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    # Behind the #: what stands there never reaches a server's log.
    print(f"{options.address}#{urlencode({'annotator': options.name, 'key': key})}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
