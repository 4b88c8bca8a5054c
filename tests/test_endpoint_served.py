"""The endpoint writer against a real server: ``transformers serve`` with the base that ships."""

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.scripted_endpoint import GOOD, fill, rows_of, until
from training.endpoint import Endpoint, EndpointError, EndpointWriter
from training.prompts import STEPS
from training.write import write_chains

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The shipped base behind ``transformers serve``; yields the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    serve = shutil.which("transformers", path=str(Path(sys.executable).parent))
    # In the checkpoint's own half precision its tower refuses the processor's pixels.
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, serve, "serve", "demo/embedded/base", *options],
            cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or _is_up(f"http://127.0.0.1:{port}/health"), 300)
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


def test_a_real_server_with_the_shipped_base_is_asked_and_its_nonsense_rejected(served, tmp_path):
    """It cannot do what it is asked, so it is led to each of the steps by stored answers to those before."""
    folder = fill(tmp_path / "samples", len(STEPS))
    endpoint = Endpoint(served, "demo/embedded/base", attempts=1, request={"max_completion_tokens": 48})
    assert write_chains(folder, EndpointWriter(endpoint), limit=1) == 1
    stored = [
        {"id": number, "step": step, "text": GOOD[step], "problem": None, "usage": None}
        for number in range(len(STEPS))
        for step in list(STEPS)[:number]
    ]
    with (folder / "chains/answers.jsonl").open("a") as rows:
        rows.writelines(json.dumps(row) + "\n" for row in stored)
    assert write_chains(folder, EndpointWriter(endpoint)) == len(STEPS) - 1
    answers = [row for row in rows_of(folder / "chains/answers.jsonl") if row["usage"]]
    assert {row["id"]: row["step"] for row in reversed(answers)} == dict(enumerate(STEPS))
    last = {row["id"]: row for row in answers}
    for rejected in rows_of(folder / "rejected.jsonl"):
        row = last.pop(rejected["id"])
        assert rejected["reason"] == f"{row['step']}: {row['problem']}"
        assert rejected["chain"] == row["text"]
    assert not last
    for row in answers:
        assert row["usage"]["prompt_tokens"] > 49 * len(STEPS[row["step"]][1]) + 80  # 49 tokens a picture
        assert 1 <= row["usage"]["completion_tokens"] <= 48
    with pytest.raises(EndpointError, match="refuses"):
        write_chains(fill(tmp_path / "more", 1), EndpointWriter(Endpoint(served, "no-such-model")))


def _is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False
