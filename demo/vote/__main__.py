"""The votes, for whoever runs the server: ``python -m demo.vote export --format csv > votes.csv``."""

import argparse
import sys

from demo.store import database
from demo.store.database import StoreError
from demo.vote.box import FORMATS, Box


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.vote", description=__doc__)
    database.add_arguments(parser)
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export", help="print all votes")
    export.add_argument("--format", choices=FORMATS, default=FORMATS[0])
    options = parser.parse_args(arguments)
    try:
        box = Box(database.store_from(options))
    except StoreError as error:
        print(error, file=sys.stderr)
        return 2
    print(box.written(options.format), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
