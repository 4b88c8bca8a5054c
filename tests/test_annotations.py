"""Figures, exports and imports of annotations; who may annotate; datasets of the Hub; what training makes of it."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from sqlalchemy import select

from degradations import Recipe
from degradations.jobs import read_table
from demo import settings
from demo.annotate import exports, figures, hub, panels, plots, service
from demo.annotate.access import Access, ForbiddenError, is_loopback
from demo.annotate.batches import Batches, Wanted
from demo.annotate.desk import Desk
from demo.annotate.figures import Judged
from demo.annotate.imports import add_verdicts
from demo.annotate.pictures import Pictures
from demo.annotate.service import Service
from demo.annotate.verdict import Verdict
from demo.store.tables import Item
from tests.batch_making import open_batches, open_one, picture, write_folder
from tests.test_verdict import verdicts

ROOT = Path(__file__).resolve().parent.parent
BLURRED = Recipe.parse("lens blur(0.5), gaussian noise(0.4)")


def judged(item=0, who="anna", model="small", applied=None, **said) -> Judged:
    verdict = Verdict.read({"marks": dict.fromkeys(BLURRED, "right")} | said, BLURRED)
    return Judged(item, who, model, BLURRED, applied, verdict)


def marks(blur: str, noise: str = "right") -> dict:
    return {"lens blur": blur, "gaussian noise": noise}


# --- figures ---


def test_precision_recall_and_bias_by_hand():
    said = [
        judged(marks=marks("right", "absent"), missed={"graffiti": 0.2}),
        judged(marks=marks("weak", "strong"), intensities={"lens blur": 0.7, "gaussian noise": 0.1}),
        judged(marks=marks("weak", "absent")),
    ]
    everything = figures.quality(said)
    assert (everything.hits, everything.misses, everything.inventions) == (4, 1, 2)
    assert everything.precision == pytest.approx(4 / 6)
    assert everything.recall == pytest.approx(4 / 5)
    assert everything.bias == pytest.approx((0 - 0.2 + 0.3) / 3), "without a number there is no difference to count"
    by_type = figures.by_type(said)
    assert list(by_type) == ["lens blur", "gaussian noise", "graffiti"]
    assert (by_type["lens blur"].weak, by_type["lens blur"].right) == (2, 1)
    assert by_type["lens blur"].bias == pytest.approx(-0.1)
    assert (by_type["graffiti"].precision, by_type["graffiti"].recall, by_type["graffiti"].bias) == (None, 0, None)


def test_confusion_shares_a_miss_among_what_was_invented():
    said = [
        judged(marks=marks("absent", "absent"), missed={"graffiti": None}),
        judged(marks=marks("absent")),
        judged(missed={"graffiti": None}),
    ]
    assert figures.confusion(said) == {
        ("graffiti", "lens blur"): 0.5,
        ("graffiti", "gaussian noise"): 0.5,
        (None, "lens blur"): 1,
        ("graffiti", None): 1,
        ("gaussian noise", "gaussian noise"): 2,
        ("lens blur", "lens blur"): 1,
    }


def test_agreement_is_krippendorffs_alpha():
    """By hand for one question of yes and no: 1 - (n - 1) o / (n0 n1), with o the disagreeing pairs."""
    answers = [(True, True), (True, True), (False, False), (True, False)]
    said = [judged(item, who, answer=a) for item, two in enumerate(answers) for who, a in zip("ab", two, strict=True)]
    agreed = figures.agreement(said)
    assert agreed["answer"] == pytest.approx(1 - 7 * 1 / (5 * 3))
    assert agreed["influence"] is None, "nobody was asked"
    assert agreed["types"] == pytest.approx(1)
    assert figures.agreement([judged(0, "a", answer=True), judged(1, "b", answer=False)])["answer"] is None
    assert figures.agreement([judged(0, "a", answer=True), judged(0, "b", answer=True)])["answer"] is None
    apart = [judged(0, "a", marks=marks("weak")), judged(0, "b", marks=marks("strong")), judged(1, "a"), judged(1, "b")]
    near = [judged(0, "a", marks=marks("weak")), judged(0, "b"), judged(1, "a"), judged(1, "b", marks=marks("strong"))]
    assert figures.agreement(apart)["strength"] < 1 and figures.agreement(near)["strength"] < 1


def test_truth_is_held_against_annotators():
    applied = Recipe.parse("lens blur(0.6), graffiti(0.3)")
    assert figures.f1_against_truth([judged()]) is None
    assert figures.f1_against_truth([judged(applied=applied)]) == pytest.approx(2 / (2 + 1 + 1))
    assert figures.shares([judged(answer=True), judged(answer=False), judged()])["answer"] == (1, 2)


def test_figures_are_drawn_and_escaped():
    said = [judged(0, "<b>anna</b>", "<i>small</i>"), judged(0, "ben", "large", marks=marks("absent"))]
    html = plots.drawn(said)
    assert "<b>anna" not in html and "&lt;b&gt;anna" in html and "&lt;i&gt;small" in html
    assert "small" not in plots.drawn(said, revealed=False)
    assert "empty" in plots.drawn([])


# --- exports ---


@pytest.fixture
def judged_batch(tmp_path):
    """A batch that two have judged."""
    batches, batch = open_one(tmp_path, 3, per_item=2)
    desk = Desk(batches.store)
    comments = {"anna": '=HYPERLINK("x")', "ben": '\'@quote, "comma"\nline'}
    for who, comment in comments.items():
        while task := desk.next(batch, who):
            said = {"marks": dict.fromkeys(task.predicted, "right"), "comment": comment, "influence": True,
                    "reasoning": True, "answer": True}  # fmt: skip
            if who == "ben" and task.number == 0:
                said |= {
                    "marks": marks("weak", "absent"),
                    "intensities": {"lens blur": 0.9},
                    "missed": {"graffiti": None},
                }
            desk.save(task.id, who, said, task.revision)
    return batches, batch


def said_in(batches, batch) -> list:
    return [
        (item.key, one.annotator, verdict)
        for item, said in exports.judged(batches.store, batch)
        for one, verdict in said
    ]


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_an_exported_table_comes_back_whole(judged_batch, tmp_path, format):
    batches, batch = judged_batch
    text = (exports.as_csv if format == "csv" else exports.as_jsonl)(batches.store, batch)
    other = open_batches(tmp_path / "other")
    again = other.open_path(tmp_path / "source", Wanted("again", per_item=2), "olga").batch
    entries = exports.read(text.encode(), f"x.{format}")
    found = add_verdicts(other.store, again, entries)
    assert (found.added, found.same, found.differing, found.unknown) == (6, 0, (), ())
    assert said_in(other, again) == said_in(batches, batch)
    assert add_verdicts(other.store, again, entries).same == 6


def test_an_import_overwrites_nothing(judged_batch):
    batches, batch = judged_batch
    entries = exports.read(exports.as_jsonl(batches.store, batch).encode(), "x.jsonl")
    before = said_in(batches, batch)
    changed = [(key, entry | {"comment": "changed"}) for key, entry in entries]
    found = add_verdicts(batches.store, batch, [*changed, ("elsewhere.png", entries[0][1])])
    assert (found.added, len(found.differing), found.unknown) == (0, 6, ("elsewhere.png",))
    assert said_in(batches, batch) == before
    with pytest.raises(ValueError):
        add_verdicts(batches.store, batch, [(entries[0][0], {"annotator": "new", "marks": {}})])


def test_a_spreadsheet_computes_nothing(judged_batch):
    batches, batch = judged_batch
    for row in csv.DictReader(io.StringIO(exports.as_csv(batches.store, batch))):
        assert not [value for value in row.values() if value.startswith(("=", "+", "-", "@"))]


@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verdicts(BLURRED))
def test_any_verdict_survives_a_row_of_csv(raw):
    verdict = Verdict.read(raw, BLURRED)
    row = {name: exports._cell(value) for name, value in exports._said(verdict).items()}
    _, read = exports._of_csv({"key": "a", "annotator": "anna", **row}, "x.csv", 2)
    assert Verdict.read({name: read[name] for name in Verdict.__dataclass_fields__ if name in read}, BLURRED) == verdict


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.jsonl", b"{}"), ("x.jsonl", b"no json"), ("x.jsonl", b"\xff"), ("x.csv", b"a,b\n1,2\n"), ("x.csv", b"")],
)
def test_what_is_no_exported_table(name, content):
    with pytest.raises(ValueError, match="line 1"):
        exports.read(content, name)


def test_an_exported_folder_is_a_batch_again_with_its_verdicts(judged_batch, tmp_path):
    batches, batch = judged_batch
    folder = tmp_path / "export"
    exports.write_folder(batches.store, batches.pictures, batch, folder)
    other = open_batches(tmp_path / "other")
    there = Service(Access(local=True), other, Desk(other.store), {})
    service.restore(there, folder)
    (restored,) = other.listed()
    assert (restored.name, restored.items) == ("one", 3)
    assert said_in(other, restored.id) == said_in(batches, batch)
    service.restore(there, folder)
    assert len(other.listed()) == 1, "a batch that is there is left as it is"


def test_datasets_can_load_an_exported_folder(judged_batch, tmp_path):
    """In a process of its own: the library keeps what it prepares in a cache that is chosen at import."""
    batches, batch = judged_batch
    exports.write_folder(batches.store, batches.pictures, batch, tmp_path / "export")
    script = (
        "import sys, json; from datasets import load_dataset\n"
        "rows = load_dataset(sys.argv[1], split='train')\n"
        "print(json.dumps([len(rows), rows[0]['image'].size, rows[0]['key'], rows[1]['corrected']]))"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "export")], env=environment,
                          capture_output=True, text=True, check=True, timeout=300)  # fmt: skip
    assert json.loads(done.stdout) == [3, [32, 32], "pictures/0.png small", "jpeg compression(0.7)"]


# --- training ---


def test_training_reads_an_export_as_corrected_samples(judged_batch, tmp_path):
    from training.imports import take_as_they_are
    from training.sources import open_source

    batches, batch = judged_batch
    folder = tmp_path / "export"
    exports.write_folder(batches.store, batches.pictures, batch, folder)
    source = open_source(str(folder / "metadata.jsonl"))
    assert source.format == "annotations"
    samples = read_table(take_as_they_are(source, tmp_path / "samples"))
    rows = {row["id"]: row for row in samples}
    assert sorted(rows) == [1, 2], "about the first the two annotators are split"
    assert (rows[1]["recipe"], rows[1]["answer"], rows[1]["answer_index"]) == ("jpeg compression(0.7)", "cat", 1)
    assert (tmp_path / "samples" / rows[1]["image"]).read_bytes() == picture(1)
    chains = {row["id"]: row["chain"] for row in read_table(tmp_path / "samples/chains.jsonl")}
    assert set(chains) == {1, 2} and "<TYPE>jpeg compression(0.7)" in chains[1]
    reasons = {row["id"]: row["reason"] for row in read_table(tmp_path / "samples/rejected.jsonl")}
    assert "split" in reasons[0]


def test_a_corrected_recipe_is_learned_without_its_chain(tmp_path):
    from training.imports import take_as_they_are
    from training.sources import open_source

    batches, batch = open_one(tmp_path, 1)
    desk = Desk(batches.store)
    task = desk.next(batch, "anna")
    said = {"marks": marks("weak", "absent"), "intensities": {"lens blur": 0.9}, "influence": True, "reasoning": True}
    desk.save(task.id, "anna", said | {"answer": True}, 0)
    exports.write_folder(batches.store, batches.pictures, batch, tmp_path / "export")
    source = open_source(str(tmp_path / "export/metadata.jsonl"))
    (sample,) = read_table(take_as_they_are(source, tmp_path / "samples"))
    assert sample["recipe"] == "lens blur(0.9)"
    assert list(read_table(tmp_path / "samples/chains.jsonl")) == []
    (row,) = read_table(tmp_path / "samples/rejected.jsonl")
    assert row["kept"] and "without its chain" in row["reason"]


# --- the Hub ---


class FakeHub:
    """Answers like HfApi for one dataset repository, a folder."""

    def __init__(self, folder: Path, failing: bool = False):
        self.folder, self.failing, self.created, self.commits = folder, failing, None, []

    def dataset_info(self, name, files_metadata=False):
        if self.failing:
            raise OSError("the Hub is away")
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        siblings = [SimpleNamespace(rfilename=str(p.relative_to(self.folder)), size=p.stat().st_size) for p in paths]
        return SimpleNamespace(siblings=siblings, sha=str(len(self.commits)))

    def snapshot_download(self, name, repo_type, local_dir, allow_patterns):
        for pattern in allow_patterns:
            target = Path(local_dir, pattern)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((self.folder / pattern).read_bytes())

    def create_repo(self, repo_id, private, repo_type, exist_ok):
        self.created = repo_id, private, repo_type
        return SimpleNamespace(repo_id=repo_id)

    def create_commit(self, repo_id, repo_type, operations, commit_message, revision):
        if self.failing:
            raise OSError("the Hub is away")
        self.commits.append([operation.path_in_repo for operation in operations])
        for operation in operations:
            target = self.folder / operation.path_in_repo
            target.parent.mkdir(parents=True, exist_ok=True)
            with operation.as_file() as content:
                target.write_bytes(content.read())
        return SimpleNamespace(oid=str(len(self.commits)))

    def run_as_future(self, function):
        """Nothing by itself: the test pushes when it wants to."""


def test_a_dataset_of_the_hub_is_opened_within_bounds(tmp_path):
    api = FakeHub(write_folder(tmp_path / "repo"))
    (tmp_path / "repo/model.bin").write_bytes(b"x" * 10**6)
    bounds = settings.Bounds(files=10, file_bytes=10**6, bytes=10**5)
    with hub.downloaded("owner/name", bounds, api) as folder:
        opened = open_batches(tmp_path / "data").open_path(folder, Wanted("hub"), "olga")
    assert opened.items == 6
    assert not folder.exists()
    with pytest.raises(ValueError, match="too much"), hub.downloaded("o/n", settings.Bounds(3, 10, 10), api):
        pass


def test_parquet_of_the_hub_is_unpacked(tmp_path):
    rows = [
        {"image": {"bytes": picture(n), "path": None}, "question": "What?", "options": ["a", "b"]} for n in range(3)
    ]
    (tmp_path / "repo/data").mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "repo/data/train-0.parquet")
    batches = open_batches(tmp_path / "data")
    with hub.downloaded("owner/name", settings.BATCH_BOUNDS, FakeHub(tmp_path / "repo")) as folder:
        assert batches.open_path(folder, Wanted("hub"), "olga").items == 3
    with (
        pytest.raises(ValueError, match="too much"),
        hub.downloaded("owner/name", settings.Bounds(2, 10**6, 10**6), FakeHub(tmp_path / "repo")),
    ):
        pass


def test_batches_are_pushed_and_come_back_to_a_server_that_forgot_them(judged_batch, tmp_path):
    batches, batch = judged_batch
    repo = tmp_path / "repo"
    repo.mkdir()
    api = FakeHub(repo)
    here = Service(Access(local=True), batches, Desk(batches.store), {})
    service.push(here, tmp_path, "owner/kept", 5, api)
    assert api.created == ("owner/kept", True, "dataset")
    assert here.pushing.last_success is None
    here.pushing.push_to_hub()
    assert here.pushing.last_success and here.pushing.last_error is None
    here.pushing.push_to_hub()
    assert len(api.commits) == 1, "nothing has changed"
    forgetful = open_batches(tmp_path / "forgetful")
    there = Service(Access(local=True), forgetful, Desk(forgetful.store), {})
    service.push(there, tmp_path / "forgetful", "owner/kept", 5, api)
    (restored,) = forgetful.listed()
    assert said_in(forgetful, restored.id) == said_in(batches, batch)
    for one in (here, there):
        one.pushing.stop()


def test_two_servers_that_push_to_one_repository_lose_nothing(tmp_path):
    """A Space that is built anew runs beside its predecessor, which goes on being used and pushes at its end."""

    def server(batches: Batches) -> Service:
        service.push(one := Service(Access(local=True), batches, Desk(batches.store), {}), tmp_path, "o/kept", 5, api)
        return one

    def judge(one: Service, who: str) -> None:
        task = one.desk.next(one.batches.listed()[0].id, who)
        one.desk.save(task.id, who, {"marks": dict.fromkeys(task.predicted, "right")}, task.revision)

    (tmp_path / "repo").mkdir()
    api = FakeHub(tmp_path / "repo")
    old = server(open_one(tmp_path / "old", 3, per_item=2)[0])
    judge(old, "anna")
    old.pushing.push_to_hub()
    new = server(open_batches(tmp_path / "new"))
    judge(old, "anna")
    old.pushing.push_to_hub()
    judge(new, "ben")
    new.pushing.push_to_hub()
    old.pushing.push_to_hub()
    (said, also) = (said_in(one.batches, one.batches.listed()[0].id) for one in (old, new))
    assert said == also and [who for _, who, _ in said].count("anna") == 2 and "ben" in [who for _, who, _ in said]

    other = open_batches(tmp_path / "other")
    other.open_path(write_folder(tmp_path / "unlike", 1), Wanted("one"), "olga")
    commits, unlike = len(api.commits), server(other)
    assert unlike.pushing is None and "another server" in unlike.not_pushed[1]
    assert len(api.commits) == commits and len(other.listed()) == 1
    for one in (old, new):
        one.pushing.stop()


def test_pictures_come_back_to_a_database_that_outlived_their_disk(judged_batch, tmp_path):
    batches, batch = judged_batch
    (tmp_path / "repo").mkdir()
    api = FakeHub(tmp_path / "repo")
    here = Service(Access(local=True), batches, Desk(batches.store), {})
    service.push(here, tmp_path, "owner/kept", 5, api)
    here.pushing.push_to_hub()
    bare = Batches(batches.store, Pictures(tmp_path / "new disk"))
    there = Service(Access(local=True), bare, Desk(batches.store), {})
    service.push(there, tmp_path / "other", "owner/kept", 5, api)
    with batches.store.reading() as session:
        names = session.scalars(select(Item.picture).where(Item.batch_id == batch)).all()
    assert len(names) == 3
    for name in names:
        assert bare.pictures.path(name).read_bytes() == batches.pictures.path(name).read_bytes()
    assert len(bare.listed()) == 1 and said_in(bare, batch) == said_in(batches, batch)
    for one in (here, there):
        one.pushing.stop()


def test_a_push_that_cannot_begin_is_known(judged_batch, tmp_path):
    batches, _ = judged_batch
    here = Service(Access(local=True), batches, Desk(batches.store), {})
    service.push(here, tmp_path, "owner/kept", 5, FakeHub(tmp_path, failing=True))
    assert here.pushing is None
    assert here.not_pushed[0] == "owner/kept" and "the Hub is away" in here.not_pushed[1]


def test_a_push_that_fails_is_told_with_the_last_success(judged_batch, tmp_path):
    batches, batch = judged_batch
    (tmp_path / "repo").mkdir()
    api = FakeHub(tmp_path / "repo")
    here = Service(Access(local=True), batches, Desk(batches.store), {})
    service.push(here, tmp_path, "owner/kept", 5, api)
    here.pushing.push_to_hub()
    before = here.pushing.last_success
    api.failing = True
    Desk(batches.store).undo(batch, "anna")
    with pytest.raises(OSError, match="away"):
        here.pushing.push_to_hub()
    assert (here.pushing.last_success, here.pushing.last_error) == (before, "the Hub is away")
    here.pushing.stop()


# --- who may annotate ---


SECRET = "sixteen letters!"


def test_names_are_believed_on_ones_own_machine_only():
    local = Access(local=True)
    assert local.visitor(" Anna ", "", address="127.0.0.1").name == "Anna"
    assert local.visitor("anna", "", address="127.0.0.1").operator
    for host in ("127.0.0.1:7860", "localhost:7860", "[::1]:7860"):
        assert local.visitor("anna", "", address="127.0.0.1", headers={"host": host}).operator
    for address, headers in (
        ("10.0.0.7", {}),
        ("", {}),
        ("127.0.0.1", {"x-forwarded-for": "1.2.3.4"}),
        ("127.0.0.1", {"host": "elsewhere.example:7860"}),  # another site's name that leads to this machine
    ):
        with pytest.raises(ForbiddenError):
            local.visitor("anna", "", address=address, headers=headers)
    with pytest.raises(ForbiddenError):
        Access().visitor("anna", "", address="127.0.0.1")


def test_a_key_proves_one_name_and_one_role():
    access = Access(SECRET, local=True)
    assert not access.visitor("anna", access.key("anna")).operator
    assert access.visitor("anna", access.key("anna", operator=True)).operator
    assert access.visitor("Zoë", access.key("Zoe\u0308")).name == "Zoë"
    for name, key in (
        ("ben", access.key("anna")),
        ("anna", ""),
        ("anna", None),
        ("anna", Access("x" * 16).key("anna")),
    ):
        with pytest.raises(ForbiddenError):
            access.visitor(name, key, address="127.0.0.1")
    with pytest.raises(ForbiddenError):
        access.operator(access.visitor("anna", access.key("anna")))
    with pytest.raises(ValueError, match="15"):
        Access("x" * 15)


def test_a_login_says_who_it_is():
    access = Access(operators=frozenset({"olga"}))
    visitor = access.visitor("olga", "", login="anna")
    assert (visitor.name, visitor.operator) == ("anna", False)
    assert access.visitor("", "", login="olga").operator


@pytest.mark.parametrize("name", ["", " ", None, 5, "x" * 101, "a\nb", "a\u202eb"])
def test_what_is_no_name(name):
    with pytest.raises(ValueError, match="name"):
        Access(local=True).visitor(name, "", address="127.0.0.1")


@pytest.mark.parametrize(
    ("host", "own"),
    [(None, True), ("localhost", True), ("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("192.168.0.2", False),
     ("example.org", False)],
)  # fmt: skip
def test_which_addresses_are_the_machines_own(host, own):
    assert is_loopback(host) is own


def test_an_invitation_is_a_link_with_the_key():
    command = [sys.executable, "-m", "demo.annotate", "invite", "Zoë", "--address", "https://example.org/"]
    environment = {**os.environ, settings.ANNOTATION_SECRET: SECRET}
    link = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert link.strip() == f"https://example.org/#annotator=Zo%C3%AB&key={Access(SECRET).key('Zoë')}"
    environment.pop(settings.ANNOTATION_SECRET)
    refused = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and settings.ANNOTATION_SECRET in refused.stderr


# --- what is shown ---


def test_nothing_of_a_stranger_is_markup(tmp_path):
    batches = open_batches(tmp_path / "data")
    evil = "<script>alert(1)</script>"
    source = write_folder(tmp_path / "source", 1, question=evil, options=[evil], answer=evil, model=evil, chain=evil)
    batch = batches.open_path(source, Wanted("one", blind=False), "olga").batch
    task = Desk(batches.store).next(batch, "anna")
    html = panels.viewer(task, '"><script>', None) + panels.form(task)
    assert "<script" not in html and html.count("&lt;script&gt;") >= 4


def test_a_blind_item_shows_neither_truth_nor_model(tmp_path):
    batches = open_batches(tmp_path / "data")
    source = write_folder(tmp_path / "source", 1, model="Secret-7B", recipe="graffiti(0.87)", answer="unsaid truth")
    shown = {}
    for blind in (True, False):
        batch = batches.open_path(source, Wanted(f"blind {blind}", blind=blind), "olga").batch
        task = Desk(batches.store).next(batch, "anna")
        html = panels.viewer(task, "a.png", None) + panels.form(task)
        shown[blind] = [word in html for word in ("Secret-7B", "0.87", "unsaid truth", "pictures/0.png")]
    assert shown == {True: [False] * 4, False: [True] * 4}
