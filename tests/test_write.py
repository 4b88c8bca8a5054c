"""``python -m training.write`` with the truth writer: tables, runs that go on, and what is refused."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from degradations.jobs import LOCK, StoppedError, alone_in
from tests.scripted_endpoint import fill, rows_of
from training.chains import write_chain
from training.data import read_chained, read_samples
from training.write import TruthWriter, main, write_chains
from training.written import appending

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path):
    return fill(tmp_path / "samples", 5)


def contents(folder):
    """Every file's bytes and time of change, but for the lock, which each run opens."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_every_sample_gets_its_chain(folder, capfd):
    assert main([str(folder), "--intensity-step", "0.05", "--answer", "words", "--seed", "3"]) == 0
    assert "5 chains, 0 samples rejected" in capfd.readouterr().err
    rows = read_chained(folder)
    assert [row["chain"] for row in rows] == [write_chain(row, 3, 0.05, index=False) for row in read_samples(folder)]
    assert {row["writer"] for row in rows_of(folder / "chains.jsonl")} == {"truth"}


def test_a_finished_run_says_so_and_changes_nothing(folder, capfd):
    main([str(folder)])
    before = contents(folder)
    assert main([str(folder)]) == 0
    assert "nothing is changed" in capfd.readouterr().err
    assert contents(folder) == before


def test_other_settings_are_refused_by_name(folder, capfd):
    main([str(folder)])
    before = contents(folder)
    assert main([str(folder), "--intensity-step", "0.05", "--answer", "words", "--seed", "1"]) == 2
    said = capfd.readouterr().err
    for difference in (
        "intensity_step was 0.01 and is now 0.05", 'answer was "index" and is now "words"', "seed was 0 and is now 1",
    ):  # fmt: skip
        assert difference in said
    assert "delete" in said and "chains.jsonl and rejected.jsonl" in said
    assert contents(folder) == before


def test_other_wording_counts_as_other_settings(folder, monkeypatch):
    write_chains(folder, TruthWriter())
    monkeypatch.setattr("training.write.phrases.__file__", __file__)
    with pytest.raises(ValueError, match="wording was"):
        write_chains(folder, TruthWriter())


def test_a_limited_run_is_gone_on_with(folder):
    assert write_chains(folder, TruthWriter(), limit=2) == 2
    assert [row["id"] for row in read_chained(folder)] == [0, 1]
    assert write_chains(folder, TruthWriter()) == 3
    assert [row["id"] for row in read_chained(folder)] == [0, 1, 2, 3, 4]


def test_a_sample_that_cannot_be_written_is_rejected_with_its_reason(folder):
    rows = rows_of(folder / "samples.jsonl")
    rows[1]["answer"] = "<ANSWER>"
    rows[2]["recipe"] = "fog(0.3)"
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert write_chains(folder, TruthWriter()) == 5
    rejected = {row["id"]: row for row in rows_of(folder / "rejected.jsonl")}
    assert "must not contain a tag" in rejected[1]["reason"]
    assert "unknown degradation 'fog'" in rejected[2]["reason"]
    assert {row["chain"] for row in rejected.values()} == {""}
    assert [row["id"] for row in read_chained(folder)] == [0, 3, 4]
    assert write_chains(folder, TruthWriter()) == 0


def test_a_killed_run_goes_on_to_the_same_tables(tmp_path):
    """The kill hits a process in the midst of its rows; a half row is added for the worst case."""
    whole, cut = fill(tmp_path / "whole", 1), fill(tmp_path / "cut", 1)
    row = rows_of(whole / "samples.jsonl")[0]
    table = "".join(json.dumps({**row, "id": number}) + "\n" for number in range(8000))
    for folder in (whole, cut):
        (folder / "samples.jsonl").write_text(table)
    write_chains(whole, TruthWriter())
    chains = cut / "chains.jsonl"
    process = subprocess.Popen([sys.executable, "-m", "training.write", str(cut)], cwd=ROOT, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (chains.exists() and chains.stat().st_size):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert 0 < chains.stat().st_size < (whole / "chains.jsonl").stat().st_size
    with chains.open("a") as rows:
        rows.write('{"id": 7000, "chain": "<TYPE>no')
    assert 0 < write_chains(cut, TruthWriter()) < 8000
    assert chains.read_bytes() == (whole / "chains.jsonl").read_bytes()


def test_rows_are_there_at_once_and_half_a_row_is_cut_off(tmp_path):
    table = tmp_path / "rows.jsonl"
    table.write_text('{"a": 1}\n{"a": 2')
    with appending(table) as add:
        add({"a": 3})
        assert table.read_text() == '{"a": 1}\n{"a": 3}\n'


def test_two_runs_in_one_folder_are_kept_apart(folder):
    with alone_in(folder), pytest.raises(StoppedError, match="another run is at work"):
        write_chains(folder, TruthWriter())


def test_chains_of_another_origin_are_left_alone(folder):
    (folder / "chains.jsonl").write_text("")
    with pytest.raises(ValueError, match="was not written by this command"):
        write_chains(folder, TruthWriter())


def test_a_folder_that_is_not_there_is_not_made(tmp_path, capfd):
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "there is no folder" in capfd.readouterr().err
    assert not (tmp_path / "nowhere").exists()
    assert main([str(tmp_path)]) == 2
    assert "samples.jsonl" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--writer", "endpoint", "--model", "m"], "needs --base-url"),
        (["--writer", "endpoint", "--base-url", "http://127.0.0.1:1/v1"], "needs --model"),
        (["--intensity-step", "0"], "must lie in (0, 1]"),
        (["--request", "[1]"], "must be a JSON object"),
        (["--request", "{"], "must be a JSON object"),
    ],
)
def test_wrong_options_are_explained(folder, capfd, arguments, said):
    try:
        status = main([str(folder), *arguments])
    except SystemExit as stop:  # argparse's own
        status = stop.code
    assert status == 2
    assert said in capfd.readouterr().err
