"""Batches: opened from everything, bounded against everything; addresses that may be fetched."""

import io
import json
import socket
import struct
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpcore
import pytest
from PIL import Image
from sqlalchemy import text

from degradations.__main__ import main as degradations
from demo import settings
from demo.annotate import fetch as fetching
from demo.annotate.batches import Wanted
from demo.annotate.desk import Desk
from demo.annotate.fetch import PublicOnly, fetch, is_public
from demo.texts import Text
from tests.batch_making import open_batches, picture, write_folder, write_zip

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def batches(tmp_path):
    return open_batches(tmp_path / "data")


def opened(batches, path, **wanted):
    return batches.open_path(path, Wanted("one", **wanted), "olga")


def key_of(told: pytest.ExceptionInfo) -> str:
    said = told.value.args[0]
    assert isinstance(said, Text)
    assert said.say("en") and said.say("zh")
    return said.key.removeprefix("annotate.")


# --- what can be opened ---


def test_a_folder_of_pictures(batches, tmp_path):
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.png").write_bytes(picture(1))
    (folder / "deep/a.png").write_bytes(picture(2))
    (folder / ".hidden.png").write_bytes(picture(3))
    (folder / "notes.txt").write_text("no picture")
    result = opened(batches, folder, question="What?", options=("cat", "dog"))
    assert (result.items, result.refused) == (2, ())
    assert [(one.items, one.waiting) for one in batches.listed()] == [(2, 2)]
    assert Desk(batches.store).next(result.batch, "anna") is None, "nobody judges what no model has said"


def test_a_manifest_of_synthesize(batches, tmp_path):
    source, out = tmp_path / "photos", tmp_path / "made"
    source.mkdir()
    for name in ("cat.jpg", "shirt.jpg"):
        (source / name).write_bytes((EXAMPLES / name).read_bytes())
    (source / "broken.jpg").write_text("no picture")
    assert degradations(["synthesize", str(source), str(out), "--clean", "--size", "64", "--workers", "1"]) == 1
    result = opened(batches, out / "manifest.jsonl", blind=False)
    assert result.items == 2
    with batches.store.reading() as session:
        items = session.execute(text("SELECT applied, clean, picture FROM items")).all()
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [item.applied for item in items] == [row["recipe"] for row in rows if "error" not in row]
    assert all(batches.pictures.path(item.clean).is_file() for item in items)


def test_predictions_truth_and_questions_come_along(batches, tmp_path):
    result = opened(batches, write_folder(tmp_path / "source"), blind=False)
    task = Desk(batches.store).next(result.batch, "anna")
    assert str(task.predicted) == "lens blur(0.5), gaussian noise(0.3)"
    assert str(task.applied) == "lens blur(0.6)"
    assert (task.question, task.options, task.answer, task.model) == ("What is it?", ("dog", "cat"), "cat", "small")


def test_a_zip_is_as_its_folder(batches, tmp_path):
    folder = write_folder(tmp_path / "source")
    result = opened(batches, write_zip(tmp_path / "one.zip", folder), blind=False)
    assert result.items == 6
    assert str(Desk(batches.store).next(result.batch, "anna").applied) == "lens blur(0.6)"


def test_uploaded_files(batches, tmp_path):
    (tmp_path / "x1").write_bytes(picture(1))
    (tmp_path / "x2").write_text(json.dumps({"file": "a.png", "recipe": "lens blur(0.2)"}))
    files = {"up/a.png": tmp_path / "x1", "up/manifest.jsonl": tmp_path / "x2"}
    assert batches.open_files(files, Wanted("one"), "upload", "olga").items == 1


def test_pictures_that_cannot_be_read_are_told_and_the_others_taken(batches, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture(1))
    (folder / "b.png").write_text("no picture")
    result = opened(batches, folder)
    assert result.items == 1
    assert [(key, text.key) for key, text in result.refused] == [("b.png", "annotate.picture-unread")]
    (folder / "a.png").unlink()
    with pytest.raises(ValueError) as told:
        batches.open_path(folder, Wanted("two"), "olga")
    assert key_of(told) == "none-readable"
    assert [one.name for one in batches.listed()] == ["one"]


def test_names_are_unique(batches, tmp_path):
    folder = write_folder(tmp_path / "source")
    opened(batches, folder)
    with pytest.raises(ValueError) as told:
        opened(batches, folder)
    assert key_of(told) == "name-taken"


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        (Wanted(" "), "batch-name"),
        (Wanted("x" * 101), "batch-name"),
        (Wanted("a\nb"), "batch-name"),
        (Wanted("a", per_item=0), "per-item"),
        (Wanted("a", per_item=True), "per-item"),
        (Wanted("a", question=" "), "batch-question"),
    ],
)
def test_what_cannot_be_wanted(batches, tmp_path, wanted, key):
    with pytest.raises(ValueError) as told:
        batches.open_path(write_folder(tmp_path / "source"), wanted, "olga")
    assert key_of(told) == key


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('{"file_name": "../../etc/passwd"}', "row-file"),
        ('{"file_name": "/etc/passwd"}', "row-file"),
        ('{"file_name": "pictures/nowhere.png"}', "row-file"),
        ('{"file_name": 5}', "row-file"),
        ('{"file_name": "pictures/0.png", "clean": "/etc/passwd"}', "row-file"),
        ('{"question": "What?"}', "row-no-file"),
        ('{"file_name": "pictures/0.png", "recipe": "sunshine(1)"}', "row-value"),
        ('{"file_name": "pictures/0.png", "options": 5}', "row-value"),
        ('{"file_name": "pictures/0.png", "options": [5]}', "row-value"),
        ('{"file_name": "pictures/0.png", "verdicts": "[5]"}', "row-value"),
        ("not json", "row-value"),
        ("[1]", "row-value"),
    ],
)
def test_a_row_that_cannot_be_used_names_its_line(batches, tmp_path, line, key):
    folder = write_folder(tmp_path / "source", 1)
    (folder / "metadata.jsonl").write_text('{"file_name": "pictures/0.png"}\n' + line + "\n")
    with pytest.raises(ValueError, match="line 2") as told:
        opened(batches, folder)
    assert key_of(told) == key
    assert batches.listed() == []


def test_what_is_not_there(batches, tmp_path):
    with pytest.raises(ValueError) as told:
        opened(batches, tmp_path / "nowhere")
    assert key_of(told) == "no-source"


# --- archives of strangers ---


def archive(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], method=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in entries:
            file.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "name", ["../out.png", "a/../../out.png", "/out.png", "a\\..\\out.png", "C:out.png", "x" * 401]
)
def test_paths_that_lead_out_of_an_archive(batches, tmp_path, name):
    with pytest.raises(ValueError) as told:
        opened(batches, archive(tmp_path / "a.zip", ("fine.png", picture(1)), (name, picture(2))))
    assert key_of(told) == "zip-path"
    assert not list(tmp_path.rglob("out.png"))
    assert batches.listed() == []


def test_links_in_an_archive(batches, tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with pytest.raises(ValueError) as told:
        opened(batches, archive(tmp_path / "a.zip", (link, b"/etc/passwd")))
    assert key_of(told) == "zip-path"


def test_an_archive_that_unpacks_to_too_much(batches, tmp_path):
    batches.bounds = settings.Bounds(files=10, file_bytes=1_000_000, bytes=2_500_000)
    bomb = archive(tmp_path / "a.zip", *((f"{n}.png", bytes(900_000)) for n in range(4)))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(ValueError) as told:
        opened(batches, bomb)
    assert key_of(told) == "zip-large"


def test_one_file_that_unpacks_to_too_much_is_left_out(batches, tmp_path):
    batches.bounds = settings.Bounds(files=10, file_bytes=100_000, bytes=2_500_000)
    result = opened(batches, archive(tmp_path / "a.zip", ("a.png", picture(1)), ("bomb.png", bytes(10**6))))
    assert [(key, text.key) for key, text in result.refused] == [("bomb.png", "annotate.zip-file-large")]


def test_an_archive_that_lies_about_its_sizes(batches, tmp_path):
    """The sizes in the list are made small; only what is really unpacked counts."""
    batches.bounds = settings.Bounds(files=10, file_bytes=100_000, bytes=150_000)
    path = archive(tmp_path / "a.zip", ("bomb.png", bytes(10**6)))
    content = path.read_bytes().replace(struct.pack("<I", 10**6), struct.pack("<I", 1000))
    path.write_bytes(content)
    with pytest.raises(ValueError) as told:
        opened(batches, path)
    assert key_of(told) == "none-readable" or key_of(told).startswith("zip-")


def test_files_that_share_their_bytes(batches, tmp_path):
    """The bomb without layers: every entry of the list points at the same compressed bytes."""
    batches.bounds = settings.Bounds(files=100, file_bytes=10**6, bytes=3 * 10**6)
    path = archive(tmp_path / "a.zip", ("0.png", bytes(900_000)))
    content = path.read_bytes()
    start = content.index(b"PK\1\2")
    entry, end = content[start : content.index(b"PK\5\6")], content[content.index(b"PK\5\6") :]
    listing = b"".join(entry.replace(b"0.png", f"{n}.png".encode()) for n in range(9))
    end = end[:8] + struct.pack("<HHI", 9, 9, len(listing)) + end[16:]
    path.write_bytes(content[:start] + listing + end)
    with pytest.raises(ValueError):
        opened(batches, path)
    assert batches.listed() == []


def test_too_many_files_are_refused_before_their_list_is_read(batches, tmp_path, monkeypatch):
    batches.bounds = settings.Bounds(files=10, file_bytes=10**6, bytes=10**6)
    path = archive(tmp_path / "a.zip", *((f"{n}.png", b"") for n in range(11)))
    with monkeypatch.context() as patched:
        patched.setattr(zipfile, "ZipFile", None)
        with pytest.raises(ValueError) as told:
            opened(batches, path)
    assert key_of(told) == "zip-count"
    content = path.read_bytes()
    end = content.rindex(b"PK\5\6")
    path.write_bytes(content[: end + 8] + struct.pack("<HH", 1, 1) + content[end + 12 :])
    with pytest.raises(ValueError) as told:
        opened(batches, path)
    assert key_of(told) in ("zip-count", "zip-none")


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", b"PK\5\6" + bytes(17)])
def test_what_is_no_archive(batches, tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ValueError) as told:
        opened(batches, tmp_path / "a.zip")
    assert key_of(told) == "zip-none"


def test_broken_locked_and_doubled_entries(batches, tmp_path):
    whole = archive(tmp_path / "a.zip", ("a.png", picture(1)), method=zipfile.ZIP_STORED).read_bytes()
    (tmp_path / "broken.zip").write_bytes(whole.replace(picture(1)[40:60], bytes(20)))
    locked = bytearray(whole)
    locked[whole.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    with pytest.warns(UserWarning, match="Duplicate"):
        archive(tmp_path / "twice.zip", ("a.png", picture(1)), ("a.png", picture(2)))
    for name, key in (("broken", "zip-broken"), ("locked", "zip-locked"), ("twice", "zip-twice")):
        with pytest.raises(ValueError) as told:
            opened(batches, tmp_path / f"{name}.zip")
        assert key_of(told) == key


def test_a_picture_of_too_many_pixels_is_left_out(batches, tmp_path):
    content = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(content, "PNG")
    result = opened(batches, archive(tmp_path / "a.zip", ("a.png", picture(1)), ("bomb.png", content.getvalue())))
    assert [key for key, _ in result.refused] == ["bomb.png"]


# --- addresses ---


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1",
     "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "2001::1", "not an address", ""],
)  # fmt: skip
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses(address):
    assert is_public(address)


class Network(httpcore.NetworkBackend):
    """Connects to a server of the test, whatever the address, and keeps what was asked for."""

    def __init__(self, port: int):
        self.port, self.asked, self._real = port, [], httpcore.SyncBackend()

    def connect_tcp(self, host, port, *arguments, **options):
        self.asked.append((host, port))
        return self._real.connect_tcp("127.0.0.1", self.port, *arguments, **options)


@pytest.fixture
def server():
    """A server that says what `answers` holds for a path: (status, headers, body)."""
    answers = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = answers[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running.server_port, answers
        running.shutdown()


def resolver(**names):
    def resolve(host, port):
        if host.replace(".", "_") not in names:
            raise socket.gaierror("unknown")
        return names[host.replace(".", "_")]

    return resolve


def fetched(server, tmp_path, url, names, most=1000):
    network = Network(server[0])
    fetch(url, tmp_path / "file", most, PublicOnly(resolver(**names), network))
    return (tmp_path / "file").read_bytes(), network.asked


def test_a_file_is_fetched_from_the_address_that_was_checked(server, tmp_path):
    server[1]["/a.zip"] = (200, {}, b"content")
    content, asked = fetched(server, tmp_path, "http://example.org/a.zip", {"example_org": ["8.8.8.8"]})
    assert content == b"content"
    assert asked == [("8.8.8.8", 80)]


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1"], ["::ffff:192.168.0.1"], []], ids=str
)
def test_a_name_that_leads_into_a_private_network(server, tmp_path, addresses):
    network = Network(server[0])
    with pytest.raises(ValueError) as told:
        fetch("http://inside.org/", tmp_path / "file", 10, PublicOnly(resolver(inside_org=addresses), network))
    assert key_of(told) == "fetch-private"
    assert network.asked == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{}/", "http://localhost:{}/", "http://[::1]:{}/", "http://2130706433:{}/"]
)
def test_private_addresses_in_all_spellings(server, tmp_path, url):
    """By the system's own resolver; the server is really there and would answer."""
    server[1]["/"] = (200, {}, b"secret")
    with pytest.raises(ValueError) as told:
        fetch(url.format(server[0]), tmp_path / "file", 10)
    assert key_of(told) in ("fetch-private", "fetch-unknown")
    assert (tmp_path / "file").read_bytes() == b""


def test_a_redirect_into_a_private_network(server, tmp_path):
    server[1]["/"] = (302, {"Location": "http://inside.org/metadata"}, b"")
    names = {"example_org": ["8.8.8.8"], "inside_org": ["169.254.169.254"]}
    with pytest.raises(ValueError) as told:
        fetched(server, tmp_path, "http://example.org/", names)
    assert key_of(told) == "fetch-private"


def test_a_name_whose_second_answer_is_private(server, tmp_path):
    """Every connection asks once, and goes where that answer says."""
    server[1]["/"] = (302, {"Location": "http://example.org/again"}, b"")
    server[1]["/again"] = (200, {"Connection": "close"}, b"secret")
    answers = iter([["8.8.8.8"], ["127.0.0.1"]])
    network = Network(server[0])
    backend = PublicOnly(lambda host, port: next(answers), network)
    with pytest.raises(ValueError) as told:
        fetch("http://example.org/", tmp_path / "file", 10, backend)
    assert key_of(told) == "fetch-private"
    assert network.asked == [("8.8.8.8", 80)]


def test_redirects_are_followed_and_end(server, tmp_path):
    server[1]["/"] = (301, {"Location": "/a.zip"}, b"")
    server[1]["/a.zip"] = (200, {}, b"content")
    assert fetched(server, tmp_path, "http://example.org/", {"example_org": ["8.8.8.8"]})[0] == b"content"
    server[1]["/"] = (301, {"Location": "/"}, b"")
    with pytest.raises(ValueError) as told:
        fetched(server, tmp_path, "http://example.org/", {"example_org": ["8.8.8.8"]})
    assert key_of(told) == "fetch-redirects"


def test_what_is_too_large_not_there_or_too_slow(server, tmp_path, monkeypatch):
    names = {"example_org": ["8.8.8.8"]}
    server[1]["/"] = (200, {}, bytes(1001))
    with pytest.raises(ValueError) as told:
        fetched(server, tmp_path, "http://example.org/", names)
    assert key_of(told) == "fetch-large"
    server[1]["/"] = (404, {}, b"")
    with pytest.raises(ValueError) as told:
        fetched(server, tmp_path, "http://example.org/", names)
    assert key_of(told) == "fetch-status"
    server[1]["/"] = (200, {}, b"content")
    monkeypatch.setattr(fetching, "LONGEST_S", -1)
    with pytest.raises(ValueError) as told:
        fetched(server, tmp_path, "http://example.org/", names)
    assert key_of(told) == "fetch-slow"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/",
        "http:///a",
        "example.org",
        "http://a:b@example.org/",
        "",
        "http://\0/",
    ],
)
def test_what_is_no_address_to_fetch(tmp_path, url):
    with pytest.raises(ValueError) as told:
        fetch(url, tmp_path / "file", 10, PublicOnly(resolver()))
    assert key_of(told) in ("fetch-address", "fetch-unknown")
