"""The endpoints as tools for agents, over the Model Context Protocol: a setting, since it needs the package `mcp`.

Gradio does it: every endpoint becomes a tool, with the docstring of its function as its description. The server is at
``/gradio_api/mcp/``; ``?tools=compare_models,degrade_photo`` offers these alone.
"""

import argparse
import os
from importlib.util import find_spec

import gradio as gr

from demo import settings


class NoMcpError(RuntimeError):
    """Tools for agents are wanted but cannot be had; the text says what to install."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the setting to a command line; `wanted` reads it."""
    parser.add_argument_group("agents").add_argument(
        "--mcp",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="offer the endpoints as MCP tools; needs requirements-mcp.txt (DEMO_MCP=1)",
    )


def wanted(arguments: argparse.Namespace, environ=os.environ) -> bool:
    """Whether agents are to be served; the command line comes before the environment.

    Raises:
        NoMcpError: they are, but `mcp` is not installed; or DEMO_MCP is neither yes nor no.
    """
    chosen = arguments.mcp
    if chosen is None:
        try:
            chosen = bool(settings.yes_or_no("DEMO_MCP", environ.get("DEMO_MCP")))
        except ValueError as error:
            raise NoMcpError(str(error)) from error
    if chosen and find_spec("mcp") is None:
        raise NoMcpError(
            "Tools for agents need the package mcp, which is not installed: run 'pip install -r requirements-mcp.txt' "
            "(on a Space, add its line to requirements.txt), or start without --mcp and DEMO_MCP."
        )
    return chosen


def check(blocks: gr.Blocks, wanted: bool) -> None:
    """Make sure that a launched page serves agents if it should: Gradio goes on without them.

    Raises:
        NoMcpError: it does not; with Gradio's reason.
    """
    if wanted and blocks.mcp_error:
        raise NoMcpError(f"{blocks.mcp_error} Install what requirements-mcp.txt names, or start without --mcp.")
