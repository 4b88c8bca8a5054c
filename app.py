"""Start the page: `python app.py`, or `make demo`. `--help` lists how to choose the models."""

import argparse
import logging
import os
import threading
from pathlib import Path

from degradations import warm_up
from demo import agents, page
from demo.annotate import service
from demo.checkpoints import CheckpointError
from demo.examples import load_examples
from demo.models import add_arguments, load_pair, spec_from
from demo.recovery import joint as recovery
from demo.recovery.encoders import encoder_at_hand
from demo.share import uploads
from demo.store.database import StoreError


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for name in ("httpx", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add_arguments(parser)
    recovery.add_arguments(parser)
    service.add_arguments(parser)
    uploads.add_arguments(parser)
    agents.add_arguments(parser)
    # Without host or port Gradio chooses: on a Space by the Space's own variables.
    parser.add_argument("--host", default=os.environ.get("HOST"), help="address to listen on (HOST)")
    parser.add_argument("--port", type=int, default=os.environ.get("PORT"), help="port to listen on (PORT)")
    parser.add_argument(
        "--results",
        type=Path,
        default=os.environ.get("DEMO_RESULTS"),
        help="folder of an evaluation, or of several, for the tab Results (DEMO_RESULTS)",
    )
    arguments = parser.parse_args()
    try:
        mcp = agents.wanted(arguments)
    except agents.NoMcpError as error:
        parser.error(str(error))
    try:
        pair = load_pair(spec_from(arguments))
    except (CheckpointError, ValueError) as error:
        parser.error(f"{error} Name other checkpoints by --model, --baseline and --adapter, or a --preset.")
    try:
        joint = recovery.joint_from(arguments, pair)
    except (CheckpointError, ValueError) as error:
        parser.error(f"{error} Name another by --recovery, or leave it out by --recovery {recovery.NONE}.")
    try:
        annotating = service.service_from(arguments)
        shared = uploads.uploads_from(arguments, annotating.store)
    except (StoreError, ValueError) as error:
        parser.error(str(error))
    logging.info(pair.notice)
    examples = load_examples()
    blocks = page.build(pair, examples, annotating, arguments.results, shared, joint)
    options = page.launch_options(examples) | {"mcp_server": mcp}
    blocks.launch(server_name=arguments.host, server_port=arguments.port, prevent_thread_lock=True, **options)
    try:
        agents.check(blocks, mcp)
    except agents.NoMcpError as error:
        raise SystemExit(str(error)) from None
    if shared:
        shared.sweep_for_ever()
    # Only now: launching sets environment variables, which no other thread survives that compiles and reads them.
    threading.Thread(target=warm_up, daemon=True).start()
    if joint:
        threading.Thread(target=encoder_at_hand, daemon=True).start()
    blocks.block_thread()


if __name__ == "__main__":
    main()
