"""The app in a process of its own, as a visitor meets it: with the pair that ships."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovering import saved

ROOT = Path(__file__).resolve().parent.parent
START_S = 300
"""How long loading and starting may take, on a machine that has other things to do."""


@pytest.fixture(scope="session")
def app(tmp_path_factory) -> Iterator[str]:
    """The address of the running app; it ends with its slash."""
    yield from run_app(tmp_path_factory.mktemp("app"), "app")


@pytest.fixture(scope="session")
def slow_app(tmp_path_factory) -> Iterator[str]:
    """The same of `tests.slow_app`."""
    yield from run_app(tmp_path_factory.mktemp("slow_app"), "tests.slow_app")


@pytest.fixture(scope="session")
def recovering_app(tmp_path_factory) -> Iterator[str]:
    """The same as `app`, with a recovery: a network that has learned nothing."""
    folder = tmp_path_factory.mktemp("recovering_app")
    yield from run_app(folder, "app", DEMO_RECOVERY=str(saved(folder / "recovery")))


def run_app(folder: Path, module: str, **more: str) -> Iterator[str]:
    """Yields the address of an app that keeps everything in a folder and ends with the iterator."""
    port = _free_port()
    environment = {
        **os.environ,
        "DEMO_PRESET": "embedded",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "uploads"),
        "PYTHONPATH": str(ROOT),
        **more,
    }
    log = folder / "app.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}/"
    try:
        _wait_for(address, process, log)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=10):
                return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"the app did not start:\n{log.read_text(errors='replace')}")
