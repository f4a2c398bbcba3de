"""Downloads from a server on this machine that misbehaves in every known way."""

import errno
import hashlib
import http.server
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdd.data.readers import download
from jaxdd.data.source import Remote, Source, silent
from jaxdd.errors import InputError
from tests.data.damage import recorder

CONTENT = np.random.default_rng(0).bytes(1_500_000)


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at any path; the attributes are its bad habits."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave()

    def behave(self, **habits):
        self.content = CONTENT
        self.ranges = True  # heeds Range
        self.cuts = []  # bytes of the body after which answers break off, in turn
        self.status = 200
        self.shift = 0  # added to the start of every range that is answered
        self.says_size = True
        self.stall = 0.0  # seconds before the second half of the body
        self.requests = []  # (path, Range or None)
        for name, value in habits.items():
            assert hasattr(self, name)
            setattr(self, name, value)

    def handle_error(self, *_):
        """Clients that hang up are part of the tests."""

    def url(self, name="file.bin"):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append((self.path, asked))
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(asked[6:-1]) if asked and server.ranges else 0
        if start >= len(server.content) > 0 and asked:
            self.send_error(416)
            return
        self.send_response(206 if asked and server.ranges else 200)
        start += server.shift if asked else 0
        body = server.content[start:]
        if asked and server.ranges:
            size = len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if server.says_size:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(body)
        half = cut // 2
        self.wfile.write(body[:half])
        time.sleep(server.stall)
        self.wfile.write(body[half:cut])


@pytest.fixture(scope="module")
def running():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def server(running, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running.behave()
    return running


def remote(*urls, size=len(CONTENT), kind="md5", content=CONTENT):
    checksum = f"{kind}:{hashlib.new(kind, content).hexdigest()}"
    return Remote("file.bin", urls, checksum, size)


@pytest.mark.parametrize("kind", ["md5", "sha256"])
@pytest.mark.parametrize("size", [0, len(CONTENT)])
def test_a_file_is_fetched_once(server, tmp_path, kind, size):
    progress, seen = recorder()
    wanted = remote(server.url(), kind=kind, size=size)
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        path = download.fetch(wanted, folder, progress)
        assert path == folder / "file.bin"
        assert path.read_bytes() == CONTENT
    assert server.requests == [("/file.bin", None)]
    assert seen == [("download file.bin", len(CONTENT), "B", len(CONTENT))]
    assert [p.name for p in folder.iterdir()] == ["file.bin"]


def test_a_download_without_a_size_anywhere(server, tmp_path):
    server.behave(says_size=False)
    path = download.fetch(remote(server.url(), size=0), tmp_path, silent)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_what_an_interrupted_run_left_is_continued(server, tmp_path, ranges):
    server.behave(ranges=ranges)
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:400_000])
    progress, seen = recorder()
    path = download.fetch(remote(server.url()), tmp_path, progress)
    assert path.read_bytes() == CONTENT
    assert server.requests == [("/file.bin", "bytes=400000-")]
    assert seen[-1][3] == len(CONTENT)


@pytest.mark.parametrize("size", [0, len(CONTENT)])
def test_a_part_that_is_whole_is_taken(server, tmp_path, size):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    path = download.fetch(remote(server.url(), size=size), tmp_path, silent)
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == (0 if size else 1)


@pytest.mark.parametrize("size", [0, len(CONTENT)])
@pytest.mark.parametrize("part", [b"x" * 1000, CONTENT + b"more", b"y" * len(CONTENT)])
def test_a_part_of_something_else_is_fetched_again(server, tmp_path, part, size):
    (tmp_path / "file.bin.part").write_bytes(part)
    path = download.fetch(remote(server.url(), size=size), tmp_path, silent)
    assert path.read_bytes() == CONTENT
    assert not (tmp_path / "file.bin.part").exists()


def test_a_connection_that_breaks_is_taken_up_again(server, tmp_path):
    server.behave(cuts=[300_000, 500_000])
    path = download.fetch(remote(server.url()), tmp_path, silent)
    assert path.read_bytes() == CONTENT
    starts = [asked for _, asked in server.requests]
    assert starts == [None, "bytes=300000-", "bytes=800000-"]


def test_what_arrived_before_a_failure_is_kept(server, tmp_path):
    server.behave(cuts=[300_000, 0])
    with pytest.raises(InputError, match=r"ended after 300,000 of 1,500,000.* is kept"):
        download.fetch(remote(server.url()), tmp_path, silent)
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:300_000]
    assert not (tmp_path / "file.bin").exists()
    server.behave()
    download.fetch(remote(server.url()), tmp_path, silent)
    assert server.requests == [("/file.bin", "bytes=300000-")]


def test_an_interrupted_process_keeps_its_part(server, tmp_path):
    class Stop(KeyboardInterrupt):
        pass

    def progress(what, total, unit):
        class Context:
            def __enter__(self):
                return self.advance

            def __exit__(self, *_):
                pass

            def advance(self, count):
                if count:
                    raise Stop

        return Context()

    with pytest.raises(Stop):
        download.fetch(remote(server.url()), tmp_path, progress)
    kept = (tmp_path / "file.bin.part").read_bytes()
    assert kept
    assert kept == CONTENT[: len(kept)]
    assert download.fetch(remote(server.url()), tmp_path, silent).is_file()


def test_a_wrong_checksum_is_said_and_removed(server, tmp_path):
    wanted = remote(server.url(), content=b"other")
    with pytest.raises(InputError, match=r"wrong checksum md5:.* was removed"):
        download.fetch(wanted, tmp_path, silent)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_at_the_target_stays_until_the_right_one_is_there(
    server, tmp_path
):
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    server.behave(status=500)
    with pytest.raises(InputError, match="HTTP 500"):
        download.fetch(remote(server.url()), tmp_path, silent)
    assert target.read_bytes() == b"old"
    server.behave()
    download.fetch(remote(server.url()), tmp_path, silent)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("habits", "message"),
    [
        ({"status": 404}, "HTTP 404 Not Found"),
        ({"status": 503}, "HTTP 503 Service Unavailable"),
        (
            {"content": b"<html>moved</html>"},
            "it has 18 bytes there, published are 1,5",
        ),
        ({"content": CONTENT + b"1"}, "it has 1,500,001 bytes there"),
        ({"content": CONTENT + b"1", "says_size": False}, "it has 1,500,001 bytes"),
        ({"content": CONTENT[:-1], "says_size": False}, "wrong checksum"),
        (
            {"content": CONTENT[::-1] * 2, "says_size": False, "ranges": False},
            "more than the 1,500,000 bytes|wrong checksum",
        ),
        ({"content": b""}, "ended after 0 of 1,500,000 bytes"),
    ],
)
def test_a_bad_answer_leads_to_the_next_address(server, tmp_path, habits, message):
    server.behave(**habits)
    with pytest.raises(InputError, match=message) as caught:
        download.fetch(remote(server.url("a"), server.url("b")), tmp_path, silent)
    assert server.url("a") in str(caught.value)
    assert server.url("b") in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert not (tmp_path / "file.bin").exists()


def test_the_second_address_helps(server, tmp_path):
    nowhere = "http://127.0.0.1:1/file.bin"
    wanted = remote("nonsense", nowhere, server.url())
    assert download.fetch(wanted, tmp_path, silent).read_bytes() == CONTENT
    with pytest.raises(InputError, match=r"nonsense \(unknown url type.*refused"):
        download.fetch(remote("nonsense", nowhere), tmp_path / "other", silent)


def test_another_range_than_asked_for_is_refused(server, tmp_path):
    server.behave(shift=7)
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:100])
    with pytest.raises(InputError, match="asked for the bytes from 100"):
        download.fetch(remote(server.url()), tmp_path, silent)
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:100]


def test_a_server_that_falls_silent_is_left(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT", 0.2)
    server.behave(stall=1.5, cuts=[2000] * 5)
    with pytest.raises(InputError, match="timed out"):
        download.fetch(remote(server.url()), tmp_path, silent)


def test_a_full_disk_is_said_at_once(server, tmp_path, monkeypatch):
    def full(handle, chunk):
        handle.write(chunk[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_write", full)
    wanted = remote(server.url("a"), server.url("b"))
    with pytest.raises(InputError, match=r"cannot write .*No space left.* continues"):
        download.fetch(wanted, tmp_path, silent)
    assert len(server.requests) == 1
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:100]
    monkeypatch.undo()
    assert download.fetch(wanted, tmp_path, silent).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        download.fetch(remote(server.url()), tmp_path / "file", silent)


def test_a_chunk_is_written_though_the_disk_takes_less():
    class Narrow:
        taken = b""

        def write(self, data):
            self.taken += bytes(data[:7])
            return min(len(data), 7)

    narrow = Narrow()
    download._write(narrow, CONTENT[:100])
    assert narrow.taken == CONTENT[:100]


def test_two_processes_fetch_a_file_once(server, tmp_path):
    server.behave(stall=0.3)
    wanted = remote(server.url())
    work = [
        threading.Thread(target=download.fetch, args=(wanted, tmp_path, silent))
        for _ in range(3)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_all_files_of_a_source_are_fetched(server, tmp_path):
    second = remote(server.url("b"))._replace(name="second.bin")
    source = Source((), remotes=(remote(server.url("a")), second), home="http://home")
    download.fetch_all(source, "toy", tmp_path, silent)
    assert {p.name for p in tmp_path.iterdir()} == {"file.bin", "second.bin"}
    (tmp_path / "file.bin").write_bytes(b"damaged")
    server.behave()
    download.fetch_all(source, "toy", tmp_path, silent)
    assert server.requests == [("/a", None)]


def test_without_a_network_the_page_and_the_folder_are_named(server, tmp_path):
    gone = remote("http://127.0.0.1:1/file.bin")
    source = Source((), remotes=(gone,), home="http://home")
    with pytest.raises(InputError) as caught:
        download.fetch_all(source, "toy", tmp_path, silent)
    for part in ("'toy'", "127.0.0.1:1/file.bin", "http://home", str(tmp_path)):
        assert part in str(caught.value)
    with pytest.raises(InputError, match=r"'toy' is not published.*http://home"):
        download.fetch_all(Source((), home="http://home"), "toy", tmp_path, silent)


@settings(deadline=None, max_examples=30)
@given(
    cuts=st.lists(st.integers(0, len(CONTENT)), max_size=4),
    kept=st.integers(0, len(CONTENT) + 10),
    ranges=st.booleans(),
    size=st.sampled_from([0, len(CONTENT)]),
)
def test_any_interruption_ends_in_the_file_or_a_refusal(
    running, tmp_path_factory, cuts, kept, ranges, size
):
    folder = tmp_path_factory.mktemp("cut")
    (folder / "file.bin.part").write_bytes((CONTENT + b"0123456789")[:kept])
    running.behave(cuts=list(cuts), ranges=ranges)
    wanted = remote(running.url(), size=size)
    for _ in range(len(cuts) + 1):
        try:
            path = download.fetch(wanted, folder, silent)
        except InputError:
            assert not (folder / "file.bin").exists()
        else:
            break
    assert path.read_bytes() == CONTENT
