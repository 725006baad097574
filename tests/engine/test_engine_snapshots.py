import hashlib
import zlib

import msgpack
import numpy as np
import pytest
from tiny_world import build_tiny_world

import worldlet
from worldlet.engine import SnapshotError
from worldlet.engine.snapshots import DIGEST, HEAD

PLAY = np.random.default_rng(4).integers(0, 8, 100).tolist()


@pytest.fixture
def session(engine):
    session = engine.open(seed=11, theme="cave")
    for action in PLAY[:30]:
        session.step(action)
    return session


def reseal(snapshot, change):
    """Change the fields of a snapshot and give it a fitting checksum: what a hostile sender would do."""
    fields = msgpack.unpackb(snapshot[HEAD + DIGEST :])
    change(fields)
    body = msgpack.packb(fields)
    return snapshot[:HEAD] + hashlib.sha256(body).digest() + body


def test_restored_sessions_go_on_identically(engine, session):
    saved = session.snapshot()
    expected = [session.step(action).frame.tobytes() for action in PLAY[30:60]]
    fresh = engine.restore(saved)
    other = engine.open(seed=0)
    other.step(0)
    other.restore(saved)
    for twin in (fresh, other):
        assert twin.index == 30 and twin.seed == 11 and twin.snapshot() == saved
        assert twin.start.theme == "cave" and "cave" in twin.start.chosen
        assert [twin.step(action).frame.tobytes() for action in PLAY[30:60]] == expected


def test_restored_in_another_process_image(world, session):
    """A newly loaded engine of the same folder reads the same bytes."""
    twin = worldlet.load(world).restore(session.snapshot())
    assert twin.frame.tobytes() == session.frame.tobytes()
    assert twin.step(1).frame.tobytes() == session.step(1).frame.tobytes()


def test_the_past_of_a_restored_session_is_gone(engine, session):
    twin = engine.restore(session.snapshot())
    assert twin.rewindable == 0
    with pytest.raises(ValueError, match="at most 0"):
        twin.rewind(1)


def test_size_does_not_grow(engine):
    session = engine.open(seed=1)
    contents = {}
    for index in range(1, 401):
        session.step(PLAY[index % 100])
        contents[index] = msgpack.unpackb(session.snapshot()[HEAD + DIGEST :])
    early, late = contents[10], contents[400]
    assert len(zlib.decompress(early.pop("data"))) == len(zlib.decompress(late.pop("data")))
    assert early.pop("index") == 10 and late.pop("index") == 400
    assert early == late


def test_snapshot_of_another_world(engine, session, tmp_path):
    other = worldlet.load(build_tiny_world(tmp_path / "other", name="other", weight_seed=1))
    before = other.open(seed=1)
    kept = before.snapshot()
    with pytest.raises(SnapshotError, match="another world, 'tiny'.*'other'"):
        before.restore(session.snapshot())
    assert before.snapshot() == kept
    with pytest.raises(SnapshotError):
        engine.restore(kept)


def test_every_flipped_byte_and_every_cut_is_refused(session):
    saved = session.snapshot()
    for position in range(0, len(saved), 7):
        damaged = bytearray(saved)
        damaged[position] ^= 0x10
        with pytest.raises(SnapshotError):
            session.restore(bytes(damaged))
        with pytest.raises(SnapshotError):
            session.restore(saved[:position])
    assert session.snapshot() == saved


@pytest.mark.parametrize("wrong", [b"", b"hello", "text", None, 7, b"WLSNAP"])
def test_no_snapshot_at_all(session, wrong):
    with pytest.raises(SnapshotError):
        session.restore(wrong)


def test_wrong_version(session):
    saved = bytearray(session.snapshot())
    saved[HEAD - 1] = 9
    with pytest.raises(SnapshotError, match="version 9"):
        session.restore(bytes(saved))


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("data"),
        lambda fields: fields.update(data=b"not zlib"),
        lambda fields: fields.update(data=zlib.compress(bytes(10_000_000))),
        lambda fields: fields.update(data=zlib.compress(b"\xff" * 1216)),
        lambda fields: fields.update(data=3),
        lambda fields: fields.update(seed=-1),
        lambda fields: fields.update(index="3"),
        lambda fields: fields.update(start=[]),
        lambda fields: fields["start"].update(chosen=3),
        lambda fields: fields["start"].update(more=3),
    ],
)
def test_fields_that_do_not_fit(session, change):
    saved = session.snapshot()
    with pytest.raises(SnapshotError, match="damaged"):
        session.restore(reseal(saved, change))
    assert session.snapshot() == saved


def test_resealing_alone_changes_nothing(session):
    saved = session.snapshot()
    assert reseal(saved, lambda fields: None) == saved
