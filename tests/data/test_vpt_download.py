"""Downloads from a server on this machine: they go on where they stopped, and nothing wrong gets a name."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from worldlet.data.vpt.download import CHECKSUMS_NAME, Folder, Missing
from worldlet.data.vpt.index import Index, Segment, read_index

CONTENT = bytes(range(256)) * 40


class Server:
    """Serves ``files`` by path, notes every request, and can be told to break off or to lie."""

    def __init__(self):
        self.files, self.asked, self.sent = {"/a.mp4": CONTENT}, [], 0
        self.break_after, self.ranges, self.md5, self.failures = None, True, None, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request):
        self.asked.append((request.path, request.headers.get("Range")))
        content = self.files.get(request.path)
        if content is None or self.failures:
            self.failures = max(0, self.failures - 1)
            request.send_response(404 if content is None else 503)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        tag, first = f'"{hashlib.md5(content).hexdigest()}"', 0
        if self.ranges and request.headers.get("Range") and request.headers.get("If-Range") == tag:
            first = int(request.headers["Range"].removeprefix("bytes=").rstrip("-"))
        if first >= len(content):
            request.send_response(416)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        md5 = self.md5 or base64.b64encode(hashlib.md5(content).digest()).decode()
        request.send_response(206 if first else 200)
        if first:
            request.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        request.send_header("x-ms-blob-content-md5" if first else "Content-MD5", md5)
        request.send_header("ETag", tag)
        request.send_header("Content-Length", str(len(content) - first))
        request.end_headers()
        body = content[first:] if self.break_after is None else content[first : first + self.break_after]
        self.sent += len(body)
        request.wfile.write(body)
        if self.break_after is not None:
            request.close_connection = True


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def folder(tmp_path, attempts=1):
    return Folder(tmp_path / "kept", attempts, wait_s=0)


def test_a_file_arrives_and_is_not_asked_for_again(server, tmp_path):
    heard = []
    path = folder(tmp_path).fetch(server.url + "a.mp4", "6.9/a.mp4", heard.append)
    assert path.read_bytes() == CONTENT and sum(heard) == len(CONTENT)
    assert json.loads((tmp_path / "kept" / CHECKSUMS_NAME).read_text()) == {
        "6.9/a.mp4": {"sha256": hashlib.sha256(CONTENT).hexdigest(), "bytes": len(CONTENT)}
    }
    assert folder(tmp_path).fetch(server.url + "a.mp4", "6.9/a.mp4") == path
    assert len(server.asked) == 1
    assert [file.name for file in path.parent.iterdir()] == ["a.mp4"]


def test_a_broken_connection_goes_on_where_it_stopped(server, tmp_path):
    server.break_after = 3000
    with pytest.raises(ValueError, match="could not be downloaded in 1 tries"):
        folder(tmp_path).fetch(server.url + "a.mp4", "a.mp4")
    assert not (tmp_path / "kept" / "a.mp4").exists()
    server.break_after = None
    assert folder(tmp_path).fetch(server.url + "a.mp4", "a.mp4").read_bytes() == CONTENT
    assert server.asked[-1] == ("/a.mp4", "bytes=3000-") and server.sent == len(CONTENT)


def test_it_is_tried_again_by_itself(server, tmp_path):
    server.break_after, server.failures = 4000, 1
    assert folder(tmp_path, attempts=5).fetch(server.url + "a.mp4", "a.mp4").read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, None, "bytes=4000-", "bytes=8000-"]


@pytest.mark.parametrize("change", ["file", "no ranges"])
def test_a_part_of_something_else_is_thrown_away(server, tmp_path, change):
    server.break_after = 3000
    with pytest.raises(ValueError, match="could not be downloaded"):
        folder(tmp_path).fetch(server.url + "a.mp4", "a.mp4")
    server.break_after, server.ranges = None, change == "file"
    content = CONTENT[::-1] if change == "file" else CONTENT
    server.files["/a.mp4"] = content
    assert folder(tmp_path).fetch(server.url + "a.mp4", "a.mp4").read_bytes() == content


def test_a_part_that_is_too_long_is_fetched_anew(server, tmp_path):
    server.break_after = 3000
    with pytest.raises(ValueError, match="could not be downloaded"):
        folder(tmp_path).fetch(server.url + "a.mp4", "a.mp4")
    (tmp_path / "kept" / "a.mp4.part").write_bytes(CONTENT + b"more")
    server.break_after = None
    assert folder(tmp_path, attempts=2).fetch(server.url + "a.mp4", "a.mp4").read_bytes() == CONTENT


@pytest.mark.parametrize("resumed", [False, True])
def test_another_md5_than_announced_is_refused(server, tmp_path, resumed):
    if resumed:
        server.break_after = 3000
        with pytest.raises(ValueError, match="could not be downloaded"):
            folder(tmp_path).fetch(server.url + "a.mp4", "a.mp4")
        server.break_after = None
    server.md5 = base64.b64encode(b"0" * 16).decode()
    with pytest.raises(ValueError, match="not the size and MD5"):
        folder(tmp_path).fetch(server.url + "a.mp4", "a.mp4")
    assert not list((tmp_path / "kept").glob("a.mp4*[!g]"))


def test_a_file_that_changed_on_the_disk_is_fetched_again(server, tmp_path):
    path = folder(tmp_path).fetch(server.url + "a.mp4", "a.mp4")
    path.write_bytes(CONTENT[:-1] + b"x")
    assert folder(tmp_path).fetch(server.url + "a.mp4", "a.mp4").read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_missing_file_is_not_tried_again(server, tmp_path):
    with pytest.raises(Missing, match="b.mp4 is not there"):
        folder(tmp_path, attempts=5).fetch(server.url + "b.mp4", "b.mp4")
    assert len(server.asked) == 1


def test_an_index_is_read_from_a_file_and_from_a_server(server, tmp_path):
    text = json.dumps(
        {"basedir": server.url, "relpaths": ["8.0/cheeky-setter-74ae6c2eae2e-20220315-122354", "6.9/b.mp4"]}
    )
    (tmp_path / "all.json").write_text(text)
    server.files["/all.json"] = text.encode()
    index = read_index(str(tmp_path / "all.json"))
    assert index == read_index(server.url + "all.json")
    assert index == Index(server.url, (Segment("8.0/cheeky-setter-74ae6c2eae2e-20220315-122354"), Segment("6.9/b")))
    first = index.segments[0]
    assert index.remote and first.version == "8.0" and first.session == "cheeky-setter-74ae6c2eae2e"


@pytest.mark.parametrize(
    "text", ["[]", "{", "{}", '{"basedir": 3, "relpaths": ["a"]}', '{"basedir": "x", "relpaths": []}']
)
def test_what_is_no_index_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="is no VPT index"):
        read_index(str(tmp_path / "a.json"))
    with pytest.raises(ValueError, match="cannot be read"):
        read_index(str(tmp_path / "nothing.json"))
    with pytest.raises(ValueError, match="holds no pair"):
        read_index(str(tmp_path))


@pytest.mark.parametrize("path", ["../a", "/a", "a//b", "", "c:a", "a/../b", "a\\b"])
def test_a_path_that_leaves_the_folder_is_refused(path):
    with pytest.raises(ValueError, match="no relative path"):
        Segment(path)
