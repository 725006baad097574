import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from worldlet import server
from worldlet.server.launch import listen, load_worlds, page_address

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # any import of it fails
from worldlet import server
server.run([sys.argv[1], sys.argv[1]], host="127.0.0.1", port=0, open_browser=False)
"""


def test_a_port_in_use_is_one_clear_sentence(tiny_folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} is in use: choose another with --port"):
            server.run([str(tiny_folder)], host="127.0.0.1", port=port, open_browser=False)


@pytest.mark.parametrize(("host", "port", "words"), [("127.0.0.1", 70000, "--port"), ("no.such.host.", 0, "host")])
def test_impossible_addresses(host, port, words):
    with pytest.raises(ValueError, match=words):
        listen(host, port)


def test_an_unknown_world_ends_before_serving():
    with pytest.raises(ValueError, match="no world 'atlantis'"):
        server.run(["atlantis"], host="127.0.0.1", port=0, open_browser=False)


def test_worlds_of_one_name_get_numbers(tiny_folder):
    assert list(load_worlds([str(tiny_folder)] * 3)) == ["tiny", "tiny-2", "tiny-3"]


def test_the_printed_address_is_one_that_a_browser_reaches():
    assert page_address("0.0.0.0", 80) == "http://127.0.0.1:80/"
    assert page_address("::1", 80) == "http://[::1]:80/"
    assert page_address("localhost", 8000) == "http://localhost:8000/"


def test_run_serves_without_torch_and_stops_at_ctrl_c(tiny_folder):
    """The whole way: a process of its own, torch forbidden, the printed address, a session, Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-c", WITHOUT_TORCH, str(tiny_folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        (url,) = re.findall(r"http://\S+/", line) or [None]
        assert url, process.stderr.read()
        assert "tiny, tiny-2" in line
        created = httpx.post(url + "session/create", json={"world": "tiny-2"}, timeout=20).json()
        body = {"session_id": created["session_id"], "action": 3}
        assert httpx.post(url + "session/step", json=body, timeout=20).json()["metrics"]["frame_index"] == 1
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.communicate()
