"""Seconds from ``make demo`` in a fresh clone to a page that answers, the first and the second time, and its memory.

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


def start(clone: Path, limit_s: float) -> tuple[float, int]:
    """Run ``make demo`` until the page answers, then end it: (seconds, resident bytes)."""
    port = free_port()
    begin = time.monotonic()
    server = subprocess.Popen(
        ["make", "demo"], cwd=clone, env={**os.environ, "PORT": str(port), "HOST": "127.0.0.1"}, start_new_session=True
    )
    try:
        while not answers(f"http://127.0.0.1:{port}/"):
            if server.poll() is not None:
                raise SystemExit(f"make demo ended with {server.returncode}")
            if time.monotonic() - begin > limit_s:
                raise SystemExit(f"no answer within {limit_s:.0f} s")
            time.sleep(0.1)
        return time.monotonic() - begin, resident_bytes(server.pid)
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
            seconds, memory = start(clone, limit_s)
            print(f"{name} time: {seconds:.1f} s to a page that answers, {memory / 2**20:.0f} MiB resident", flush=True)


if __name__ == "__main__":
    main()
