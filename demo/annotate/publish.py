"""One batch as a dataset of the Hugging Face Hub, when an operator asks for it.

Whose dataset it becomes is never up to who asks: whoever started the server names an account, and the server's own
token writes to it; where nobody did, a Space's login writes to the operator's own account, if it was given that right.
"""

import json
import re
import tempfile
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import gradio as gr
import httpx
from huggingface_hub import DatasetCard, DatasetCardData, HfApi
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from demo.annotate import exports
from demo.annotate.hub import cause_of
from demo.annotate.pictures import Pictures
from demo.store.database import Store
from demo.store.tables import Batch
from demo.texts import Text

CARD = "README.md"
SCOPES = ("contribute-repos", "write-repos", "manage-repos")
"""What a login must allow, one of them; the first is the least."""
LONGEST_NAME = 60
"""Characters of a dataset's name that come from the batch's; the Hub takes 96 with the account's."""


@dataclass(frozen=True)
class Account:
    """Whose datasets batches become.

    Attributes:
        owner: a user or an organisation.
        api: with the token that writes.
    """

    owner: str
    api: HfApi = field(repr=False)

    def repo(self, batch: str) -> str:
        """The dataset of a batch of this name: the same at every export, and of this batch alone."""
        return f"{self.owner}/{dataset_name(batch)}"


def named_account(owner: str | None) -> Account | None:
    """The account that whoever started the server named, with the server's own token; None where none was.

    Raises:
        ValueError: no such account can be.
    """
    if not owner:
        return None
    try:
        validate_repo_id(f"{owner}/x")
    except HFValidationError as error:
        raise ValueError(f"{owner!r} is no account of the Hub: give the name of a user or an organisation") from error
    return Account(owner, HfApi())


def account_of(named: Account | None, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None) -> Account:
    """The account that the server was started with, or else that of whoever has logged in to the Space.

    Raises:
        ValueError: there is neither, or the login may not write datasets; with a `Text` that says what to do.
    """
    if named:
        return named
    if profile is None or token is None:
        raise ValueError(Text("annotate.to-hub-nowhere"))
    if not set(SCOPES) & set(re.split(r"[\s,]+", token.scope)):
        raise ValueError(Text("annotate.to-hub-scope", scope=SCOPES[0]))
    return Account(profile.username, HfApi(token=token.token))


def dataset_name(batch: str) -> str:
    """A name that the Hub takes; where the batch's own has other letters, a hash of it keeps the two apart."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", batch).strip("-_")[:LONGEST_NAME].strip("-_")
    if plain == batch:
        return plain
    return "-".join(filter(None, (plain, sha256(batch.encode()).hexdigest()[:8])))


def publish(store: Store, pictures: Pictures, batch: int, account: Account) -> dict:
    """Make a batch a dataset, private if it is new; of one that is there, its pictures and tables become the batch's.

    Returns:
        `repo` and `address` of the dataset, and how many `items` it has.

    Raises:
        ValueError: a dataset of this name is something else, or the Hub fails or refuses; with a `Text`.
    """
    with store.reading() as session:
        name = session.get_one(Batch, batch).name
    repo, api = account.repo(name), account.api
    try:
        files = _files(repo, name, api)
        with tempfile.TemporaryDirectory() as folder:
            exports.write_folder(store, pictures, batch, Path(folder))
            rows = (Path(folder) / exports.TABLE).read_text(encoding="utf-8").splitlines()
            if CARD not in (files or ()):  # one that is there may have been rewritten by its owner
                card(name, repo, rows).save(Path(folder) / CARD)
            if files is None:
                api.create_repo(repo, repo_type="dataset", private=True)
            api.upload_folder(
                repo_id=repo,
                repo_type="dataset",
                folder_path=folder,
                delete_patterns=[f"{exports.PICTURES}/*"],
                commit_message=f"{len(rows)} annotated pictures",
            )
    except (httpx.HTTPError, OSError) as error:  # the Hub's answer; no way to it, no token, no room on the disk
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        if status == httpx.codes.CONFLICT:  # there is one that this token does not see
            raise ValueError(Text("annotate.to-hub-taken", repo=repo)) from error
        refused = status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
        values = {"repo": repo, "owner": account.owner, "cause": cause_of(error)}
        said = Text("annotate.to-hub-refused", **values) if refused else Text("annotate.to-hub-failed", **values)
        raise ValueError(said) from error
    return {"repo": repo, "address": f"{api.endpoint}/datasets/{quote(repo)}", "items": len(rows)}


def card(name: str, repo: str, rows: list[str]) -> DatasetCard:
    """The dataset's page: what it holds, and how it is loaded."""
    said = sum(len(json.loads(json.loads(row)["verdicts"])) for row in rows)
    about = DatasetCardData(
        pretty_name=name, task_categories=["visual-question-answering"], tags=["image-degradation", "annotations"]
    )
    return DatasetCard(
        f"---\n{about.to_yaml()}\n---\n\n# {name}\n\n"
        f"Pictures: {len(rows)}, each with a model's prediction of what degraded it. Verdicts of people: {said}.\n\n"
        f'```python\nfrom datasets import load_dataset\n\nload_dataset("{repo}", split="train")\n```\n\n'
        "`predicted` is the model's recipe, `verdicts` what each annotator said of it (JSON), `corrected` the recipe "
        "on which most agree, `correct_answer` the right answer as far as it is known.\n"
    )


def _files(repo: str, name: str, api: HfApi) -> list[str] | None:
    """What the dataset of a batch holds already; None where there is no such dataset yet.

    Raises:
        ValueError: it is not an export of a batch of this name.
    """
    try:
        files = [file.rfilename for file in api.dataset_info(repo).siblings or []]
    except RepositoryNotFoundError:
        return None
    if not set(files) - {".gitattributes"}:  # created, but never filled
        return files
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = api.hf_hub_download(repo, exports.ABOUT, repo_type="dataset", local_dir=folder)
            about = json.loads(Path(path).read_text(encoding="utf-8"))
    except (EntryNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
        about = None
    if not isinstance(about, dict) or about.get("name") != name:
        raise ValueError(Text("annotate.to-hub-taken", repo=repo))
    return files
