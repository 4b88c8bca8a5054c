"""Seconds from ``make demo`` in a fresh clone to a page, the first and the second time, its first answer, its memory.

    python tests/benchmarks/startup.py

Installs into the clone, so it needs the network and a minute or two; the clone is deleted at the end.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ASK = """
import sys, time
from gradio_client import Client, handle_file
client = Client(sys.argv[1], verbose=False)
begin = time.monotonic()
state = client.predict(
    handle_file("examples/shorts.jpg"), "Which garment is shown?\\n0. pants\\n1. shorts", "graffiti(0.4)", 0, 0.0, 320,
    api_name="/compare",
)
assert all(state[side]["done"] and state[side]["text"] for side in ("baseline", "robust")), state
print(time.monotonic() - begin)
"""
"""Run by the clone's own Python: prints the seconds of one comparison."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as page:
            return page.status == 200
    except OSError:
        return False


def resident_bytes(group: int) -> int:
    """Resident memory of a process group, from /proc (Linux)."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) == group:
                total += int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            continue  # the process has ended meanwhile
    return total


def start(clone: Path, limit_s: float) -> tuple[float, float, int]:
    """Run ``make demo``, ask one question, end it: (seconds to the page, of the first answers, resident bytes)."""
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    begin = time.monotonic()
    server = subprocess.Popen(
        ["make", "demo"], cwd=clone, env={**os.environ, "PORT": str(port), "HOST": "127.0.0.1"}, start_new_session=True
    )
    try:
        while not answers(address):
            if server.poll() is not None:
                raise SystemExit(f"make demo ended with {server.returncode}")
            if time.monotonic() - begin > limit_s:
                raise SystemExit(f"no answer within {limit_s:.0f} s")
            time.sleep(0.1)
        seconds = time.monotonic() - begin
        ask = [clone / ".venv/bin/python", "-c", ASK, address]
        first_answers = subprocess.run(ask, cwd=clone, check=True, capture_output=True, text=True).stdout
        return seconds, float(first_answers), resident_bytes(server.pid)
    finally:
        # make and the app are one process group of their own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGINT)
        server.wait(timeout=60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=900, help="seconds to wait for the page (default %(default)s)")
    limit_s = parser.parse_args().limit
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        for name in ("first", "second"):
            seconds, first_answers, memory = start(clone, limit_s)
            print(
                f"{name} time: {seconds:.1f} s to the page, {first_answers:.1f} s for its first two answers, "
                f"{memory / 2**20:.0f} MiB resident after them",
                flush=True,
            )


if __name__ == "__main__":
    main()
