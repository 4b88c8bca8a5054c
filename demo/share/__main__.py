"""Shared photos, for whoever runs the server: ``python -m demo.share list``, ``python -m demo.share delete ID …``."""

import argparse
import json
import sys

from demo.share.uploads import GoneError, Uploads, folder_of
from demo.store import database
from demo.store.database import StoreError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.share", description=__doc__)
    database.add_arguments(parser)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="print the photos that are shared, a JSON object a line")
    delete = commands.add_parser("delete", help="delete photos; their links then lead to none")
    delete.add_argument("ids", nargs="+", metavar="ID")
    options = parser.parse_args(arguments)
    try:
        uploads = Uploads(database.store_from(options), folder_of(options))
        if options.command == "list":
            for row in uploads.listed():
                print(json.dumps(row))
        else:
            for name in options.ids:
                uploads.remove(name)
                print(f"deleted {name}")
    except (StoreError, GoneError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
