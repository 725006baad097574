"""Downloads that go on where they stopped, and are checked: by size, by the server's MD5, and by a SHA-256 of our own.

A file is written as ``NAME.part`` and gets its name when it is whole and right. Azure, where the VPT files lie, sends
``Content-MD5`` with a whole file and ``x-ms-blob-content-md5`` with a part of one, both the MD5 of all of it.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worldlet.manifest import hash_file, write_atomic

CHECKSUMS_NAME = "checksums.json"
PART = ".part"
_TAG = ".etag"
_CHUNK = 1 << 18
_TIMEOUT_S = 60.0


class Missing(ValueError):
    """The server says that there is no such file."""


class Unreachable(ValueError):
    """A file could not be had whole; another time it may be."""


class Folder:
    """A folder of downloaded files and ``checksums.json``, the SHA-256 and size that each had when it was whole."""

    def __init__(self, path: Path, attempts: int = 5, wait_s: float = 1.0) -> None:
        self.path = path
        self._attempts, self._wait_s = attempts, wait_s
        self._sums: dict[str, Any] = {}
        if (path / CHECKSUMS_NAME).is_file():
            try:
                self._sums = json.loads((path / CHECKSUMS_NAME).read_bytes())
            except ValueError as error:
                raise ValueError(f"{path / CHECKSUMS_NAME} is damaged ({error}): delete it and start again") from error

    def fetch(self, url: str, name: str, heard: Callable[[int], None] = lambda size: None) -> Path:
        """Return the file called ``name``, downloaded unless it is there, whole and unchanged.

        ``heard`` is told the bytes that arrive. Raises Missing where the server has no such file, Unreachable where it
        cannot be had whole in ``attempts`` tries; what has arrived is kept for the next call.
        """
        path = self.path / name
        if path.is_file() and self._is_whole(path, name):
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(self._wait_s * 2 ** (attempt - 1))
            try:
                _continue(url, path, heard)
                break
            except urllib.error.HTTPError as answer:
                answer.close()
                if answer.code in (404, 410):
                    raise Missing(f"{url} is not there ({answer.code})") from answer
                failure: Exception = answer
            except (OSError, http.client.HTTPException, _Wrong) as error:
                if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                    raise  # trying again does not help
                failure = error
        else:
            raise Unreachable(
                f"{url} could not be downloaded in {self._attempts} tries ({failure}): the same command tries again"
            ) from failure
        entry = hash_file(path)
        self._sums[name] = {"sha256": entry.sha256, "bytes": entry.bytes}
        write_atomic(self.path / CHECKSUMS_NAME, json.dumps(self._sums, indent=1, sort_keys=True).encode())
        return path

    def _is_whole(self, path: Path, name: str) -> bool:
        if name not in self._sums:
            return False
        entry = hash_file(path)
        return {"sha256": entry.sha256, "bytes": entry.bytes} == self._sums[name]


class _Wrong(Exception):
    """What arrived is not what the server announced."""


def _continue(url: str, path: Path, heard: Callable[[int], None]) -> None:
    """Fetch what is still missing of a file, check it and give it its name."""
    part, tag = path.with_name(path.name + PART), path.with_name(path.name + PART + _TAG)
    there = part.stat().st_size if part.is_file() and tag.is_file() else 0
    request = urllib.request.Request(url)
    if there:
        # With If-Range, a server whose file has changed meanwhile sends all of the new one.
        request.add_header("Range", f"bytes={there}-")
        request.add_header("If-Range", tag.read_text())
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is as long as the file or longer: not to be trusted
            part.unlink()
        raise
    with answer:
        headers = answer.headers
        if answer.status != 206:
            there = 0
        total = _total(headers, there) if there else _length(headers)
        _remember_tag(headers, tag)
        with open(part, "ab" if there else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                heard(len(chunk))
        wanted = headers.get("x-ms-blob-content-md5") or (headers.get("Content-MD5") if not there else None)
    _check(part, total, wanted)
    part.replace(path)
    tag.unlink(missing_ok=True)


def _total(headers: Mapping[str, str], there: int) -> int:
    """Return the length of the whole file from ``Content-Range: bytes FIRST-LAST/TOTAL``."""
    try:
        span, _, total = headers["Content-Range"].removeprefix("bytes ").partition("/")
        if int(span.partition("-")[0]) == there:
            return int(total)
    except (KeyError, ValueError, AttributeError):
        pass
    raise _Wrong("the server sent another part of the file than was asked for")


def _length(headers: Mapping[str, str]) -> int | None:
    length = headers.get("Content-Length")
    return int(length) if length else None


def _remember_tag(headers: Mapping[str, str], tag: Path) -> None:
    # A weak tag promises no equal bytes, so nothing can be continued by it.
    strong = headers.get("ETag", "")
    if strong and not strong.startswith("W/"):
        tag.write_text(strong)
    else:
        tag.unlink(missing_ok=True)


def _check(part: Path, total: int | None, md5: str | None) -> None:
    size = part.stat().st_size
    if total is not None and size < total:
        raise _Wrong(f"the connection ended after {size} of {total} bytes")
    with open(part, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
    if (total is not None and size > total) or (md5 and digest != base64.b64decode(md5)):
        part.unlink()
        raise _Wrong("what arrived has not the size and MD5 that the server announced")
