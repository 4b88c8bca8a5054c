"""The votes, for whoever runs the server: ``python -m demo.vote export --format csv > votes.csv``."""

import argparse
import os
import sys
from pathlib import Path

from demo import settings
from demo.store.database import Store, StoreError, default_url
from demo.vote.box import FORMATS, Box


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.vote", description=__doc__)
    environ = os.environ.get
    text = "folder of the database, as the server was started with (DEMO_DATA)"
    parser.add_argument("--data", type=Path, default=environ("DEMO_DATA", settings.DATA), help=text)
    parser.add_argument("--database", default=environ("DEMO_DATABASE"), help="URL (DEMO_DATABASE)")
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export", help="print all votes")
    export.add_argument("--format", choices=FORMATS, default=FORMATS[0])
    options = parser.parse_args(arguments)
    try:
        box = Box(Store(options.database or default_url(Path(options.data))))
    except StoreError as error:
        print(error, file=sys.stderr)
        return 2
    print(box.written(options.format), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
