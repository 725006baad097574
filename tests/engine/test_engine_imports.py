"""Playing must work where the training extra is not installed."""

import subprocess
import sys

FORBID = """
import sys

class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "av", "webdataset", "lightning", "onnx", "onnxscript", "einops"}:
            raise ImportError("not installed: " + name)

sys.meta_path.insert(0, Forbid())
"""


def python(code, *arguments):
    command = [sys.executable, "-W", "error", "-c", FORBID + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_load_and_play_without_the_training_extra(world, tmp_path):
    code = """
import worldlet
from worldlet.engine.play import play_headless
session = worldlet.load(sys.argv[1]).open(seed=1)
session.restore(session.snapshot())
assert session.step("right").frame.shape == (16, 24, 3)
import worldlet.engine.dream_env
print(play_headless(sys.argv[1], 5, 0, sys.argv[2]).frames)
"""
    done = python(code, str(world), str(tmp_path / "a.gif"))
    assert (done.returncode, done.stdout.strip()) == (0, "6"), done.stderr


def test_importing_worldlet_imports_nothing_heavy():
    code = """
import worldlet
heavy = {"numpy", "onnxruntime", "gymnasium", "PIL", "msgpack", "worldlet.engine"} & set(sys.modules)
assert not heavy, heavy
assert set(worldlet.__all__) == {"Clip", "Episode", "StepResult", "WorldError", "__version__", "load"}
for name in worldlet.__all__:
    getattr(worldlet, name)
try:
    worldlet.lode
except AttributeError as error:
    print(error)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert "lode" in done.stdout


def test_torch_backend_without_torch_names_the_extra(world):
    code = """
import worldlet
try:
    worldlet.load(sys.argv[1], backend="torch")
except ValueError as error:
    print(error)
"""
    done = python(code, str(world))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "the torch backend needs the training extra: pip install 'worldlet[train]'"
