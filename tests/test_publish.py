"""One batch as a dataset of the Hub: whose it becomes, what is in it, and what is said where that fails."""

import inspect
import json
import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest
from huggingface_hub import DatasetCard, HfApi
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from demo.annotate import exports, publish, service
from demo.annotate.access import Access
from demo.annotate.actions import Actions
from demo.annotate.batches import Wanted
from demo.annotate.desk import Desk
from demo.annotate.service import Service
from demo.texts import Text
from tests.batch_making import open_batches, open_one, picture

REQUEST = SimpleNamespace(username=None, client=SimpleNamespace(host="127.0.0.1"), headers={})
SECRET = "sixteen letters!"
LOGIN = gr.OAuthProfile({"name": "Olga", "preferred_username": "olga", "profile": "", "picture": ""})


def answer(kind: type[HfHubHTTPError], status: int, text: str = "no") -> HfHubHTTPError:
    return kind(text, response=httpx.Response(status, request=httpx.Request("GET", "https://hub.example")))


class Hub:
    """Answers like HfApi, from a folder; a call that HfApi would not take fails here, too."""

    endpoint = "https://hub.example"

    def __init__(self, folder: Path, failure: Exception | None = None):
        self.folder, self.failure, self.created, self.uploads = folder, failure, [], []

    def __getattribute__(self, name: str):
        own = object.__getattribute__(self, name)
        if not callable(own) or name.startswith("_"):
            return own

        def checked(*arguments, **more):
            inspect.signature(getattr(HfApi, name)).bind(self, *arguments, **more)
            return own(*arguments, **more)

        return checked

    def _files(self, repo: str) -> list[str]:
        return [str(path.relative_to(self.folder / repo)) for path in (self.folder / repo).rglob("*") if path.is_file()]

    def dataset_info(self, repo):
        if not (self.folder / repo).exists():
            raise answer(RepositoryNotFoundError, 404)
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in self._files(repo)])

    def hf_hub_download(self, repo, filename, repo_type, local_dir):
        if not (self.folder / repo / filename).exists():
            raise answer(RemoteEntryNotFoundError, 404)
        return shutil.copyfile(self.folder / repo / filename, Path(local_dir, filename))

    def create_repo(self, repo, repo_type, private):
        if self.failure:
            raise self.failure
        self.created.append((repo, repo_type, private))
        (self.folder / repo).mkdir(parents=True)

    def upload_folder(self, repo_id, repo_type, folder_path, delete_patterns, commit_message):
        if self.failure:
            raise self.failure
        self.uploads.append(repo_id)
        for name in self._files(repo_id):
            if any(Path(name).match(pattern) for pattern in delete_patterns):
                (self.folder / repo_id / name).unlink()
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)


@pytest.fixture
def hub(tmp_path) -> Hub:
    return Hub(tmp_path / "hub")


@pytest.fixture
def at(tmp_path, hub) -> SimpleNamespace:
    """A batch of three of which one is judged, and how it is published."""
    batches, batch = open_one(tmp_path, 3)
    desk = Desk(batches.store)
    task = desk.next(batch, "anna")
    desk.save(task.id, "anna", {"marks": dict.fromkeys(task.predicted, "right"), "answer": True}, 0)
    account = publish.Account("lab", hub)
    return SimpleNamespace(
        batches=batches,
        batch=batch,
        desk=desk,
        service=Service(Access(local=True), batches, desk, {}, account=account),
        publish=lambda: publish.publish(batches.store, batches.pictures, batch, account),
    )


def rows(hub: Hub, repo: str = "lab/one") -> list[dict]:
    return [json.loads(line) for line in (hub.folder / repo / exports.TABLE).read_text().splitlines()]


# --- whose ---


def started(*line: str, **environ: str) -> Service:
    parser = ArgumentParser()
    service.add_arguments(parser)
    return service.service_from(parser.parse_args(line), environ)


@pytest.mark.parametrize(
    ("line", "owner"),
    [([], None), (["--hub-account", "lab"], "lab"), (["--push-to", "kept/all"], "kept"),
     (["--push-to", "kept/all", "--hub-account", "lab"], "lab")],
)  # fmt: skip
def test_whoever_starts_the_server_names_the_account(tmp_path, monkeypatch, line, owner):
    monkeypatch.setattr(service, "push", lambda *_: None)
    account = started("--data", str(tmp_path), *line).account
    assert (account and account.owner) == owner


@pytest.mark.parametrize("wrong", ["a/b", "-lab", "lab lab", "https://huggingface.co/lab"])
def test_what_is_no_account_is_told_at_the_start(tmp_path, wrong):
    with pytest.raises(ValueError, match="no account of the Hub"):
        started("--data", str(tmp_path), f"--hub-account={wrong}")


def token(scope: str) -> gr.OAuthToken:
    return gr.OAuthToken("hf_olga", scope, 0)


def test_a_login_is_used_where_the_server_names_no_account():
    named = publish.Account("lab", HfApi(token="hf_server"))
    for scope in publish.SCOPES:
        own = publish.account_of(None, LOGIN, token(f"openid profile {scope}"))
        assert (own.owner, own.api.token) == ("olga", "hf_olga")
    assert publish.account_of(named, LOGIN, token("openid profile contribute-repos")) is named
    assert "hf_olga" not in repr(own)


@pytest.mark.parametrize(
    ("login", "key"),
    [((None, None), "to-hub-nowhere"), ((None, token("contribute-repos")), "to-hub-nowhere"),
     ((LOGIN, None), "to-hub-nowhere"), ((LOGIN, token("openid profile")), "to-hub-scope"),
     ((LOGIN, token("openid read-repos")), "to-hub-scope")],
)  # fmt: skip
def test_without_either_it_is_said_what_to_do(login, key):
    with pytest.raises(ValueError) as told:
        publish.account_of(None, *login)
    assert told.value.args[0].key == f"annotate.{key}"


@pytest.mark.parametrize("name", ["one", "Two_b", "a b", "a/b", "批次一", "x" * 100, "--", "a.git", "..", "a" * 60])
def test_a_dataset_has_a_name_that_the_hub_takes(name):
    validate_repo_id(f"owner/{publish.dataset_name(name)}")
    assert publish.dataset_name(name) == publish.dataset_name(name)


def test_batches_of_different_names_do_not_meet():
    names = ["a b", "a-b", "a/b", "a", "批次一", "批次二", "x" * 99, "x" * 100]
    assert len({publish.dataset_name(name) for name in names}) == len(names)
    assert publish.dataset_name("a-b") == "a-b"


# --- what ---


def test_a_batch_becomes_a_private_dataset_with_its_pictures_and_verdicts(at, hub):
    assert at.publish() == {"repo": "lab/one", "address": "https://hub.example/datasets/lab/one", "items": 3}
    assert hub.created == [("lab/one", "dataset", True)]
    assert [bool(json.loads(row["verdicts"])) for row in rows(hub)] == [True, False, False]
    assert {(hub.folder / "lab/one" / row["file_name"]).read_bytes() for row in rows(hub)} == {
        picture(number) for number in range(3)
    }
    card = DatasetCard.load(hub.folder / "lab/one/README.md")
    assert card.data.pretty_name == "one" and "visual-question-answering" in card.data.task_categories
    assert "Pictures: 3" in card.text and "people: 1." in card.text and 'load_dataset("lab/one"' in card.text


def test_datasets_can_load_it(at, hub, tmp_path):
    """In a process of its own: the library keeps what it prepares in a cache that is chosen at import."""
    at.publish()
    script = (
        "import sys, json; from datasets import load_dataset\n"
        "rows = load_dataset(sys.argv[1], split='train')\n"
        "print(json.dumps([len(rows), rows[0]['image'].size, rows[0]['key'], rows[0]['correct_answer']]))"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", script, str(hub.folder / "lab/one")], env=environment,
                          capture_output=True, text=True, check=True, timeout=300)  # fmt: skip
    assert json.loads(done.stdout) == [3, [32, 32], "pictures/0.png small", "cat"]


def test_an_export_brings_its_dataset_up_to_date_and_leaves_its_page(at, hub):
    at.publish()
    (hub.folder / "lab/one/README.md").write_text("rewritten by its owner")
    (hub.folder / "lab/one/pictures/stray.png").write_bytes(picture(9))
    (hub.folder / "lab/one/LICENSE").write_text("added by its owner")
    at.desk.undo(at.batch, "anna")
    at.publish()
    assert len(hub.created) == 1 and hub.uploads == ["lab/one"] * 2
    assert [json.loads(row["verdicts"]) for row in rows(hub)] == [[], [], []]
    names = hub._files("lab/one")
    assert "pictures/stray.png" not in names and "LICENSE" in names and sum("pictures/" in name for name in names) == 3
    assert (hub.folder / "lab/one/README.md").read_text() == "rewritten by its owner"


def test_it_comes_back_as_a_batch_with_its_verdicts(at, hub, tmp_path):
    at.publish()
    batches = open_batches(tmp_path / "other")
    there = Service(Access(local=True), batches, Desk(batches.store), {})
    opened, taken = there.open_export(hub.folder / "lab/one", Wanted("again"), "olga")
    assert (opened.items, taken.added) == (3, 1)


# --- where it fails ---


def foreign(folder: Path) -> None:
    (folder / "data.csv").write_text("a\n1\n")


def another(folder: Path) -> None:
    (folder / exports.ABOUT).write_text(json.dumps({"name": "two"}))


def broken(folder: Path) -> None:
    (folder / exports.ABOUT).write_bytes(b"\xff{")


@pytest.mark.parametrize("fill", [foreign, another, broken])
def test_a_dataset_that_is_something_else_is_left_alone(at, hub, fill: Callable):
    (hub.folder / "lab/one").mkdir(parents=True)
    fill(hub.folder / "lab/one")
    before = {name: (hub.folder / "lab/one" / name).read_bytes() for name in hub._files("lab/one")}
    with pytest.raises(ValueError, match="lab/one already"):
        at.publish()
    assert hub.uploads == []
    assert {name: (hub.folder / "lab/one" / name).read_bytes() for name in hub._files("lab/one")} == before


def test_a_dataset_that_was_never_filled_is_taken(at, hub):
    (hub.folder / "lab/one").mkdir(parents=True)
    (hub.folder / "lab/one/.gitattributes").touch()
    assert at.publish()["items"] == 3 and hub.created == []


@pytest.mark.parametrize(
    ("failure", "key", "word"),
    [
        (answer(HfHubHTTPError, 403, "not your organisation"), "refused", "not your organisation"),
        (answer(HfHubHTTPError, 401, "who are you?"), "refused", "of lab"),
        (answer(HfHubHTTPError, 409, "exists"), "taken", "Nothing was changed"),
        (answer(HfHubHTTPError, 500, "on fire\nat line 3"), "failed", "on fire It is kept here"),
        (httpx.ConnectError("no way there"), "failed", "no way there"),
        (OSError("no room on the disk"), "failed", "no room on the disk"),
    ],
)
def test_what_the_hub_refuses_is_told(at, hub, failure, key, word):
    hub.failure = failure
    with pytest.raises(ValueError, match=word) as told:
        at.publish()
    assert isinstance(told.value.args[0], Text) and told.value.args[0].key == f"annotate.to-hub-{key}"


# --- on the page ---


def said(at, access: Access | None = None, login=(None, None), key: str = "") -> list[str]:
    at.service.access = access or Access(local=True)
    return list(Actions(at.service, None).to_hub(REQUEST, *login, "anna", key, at.batch))


def test_the_page_says_where_it_goes_and_where_it_is(at, hub):
    going, done = said(at)
    assert "on its way to lab/one" in going and hub.uploads == ["lab/one"]
    assert 'href="https://hub.example/datasets/lab/one"' in done and "private" in done


def test_only_operators_export(at, hub):
    access = Access(SECRET)
    (told,) = said(at, access, key=access.key("anna"))
    assert "may annotate, but not open, export" in told
    (told,) = said(at, access, (LOGIN, token("contribute-repos")))
    assert "olga may annotate, but not" in told, "a login alone does not make an operator"
    assert hub.created == hub.uploads == []
    assert len(said(at, access, key=access.key("anna", operator=True))) == 2


def test_the_page_says_what_is_missing(at, hub):
    at.service.account = None
    (told,) = said(at)
    assert "--hub-account" in told
    at.batch = None
    (told,) = said(at)
    assert "choose a batch" in told
