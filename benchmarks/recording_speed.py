"""Recording against the bare environment's speed, game by game, side by side in one run; prints a Markdown table.

    python benchmarks/recording_speed.py --frames 50000 ALE/Breakout-v5 procgen/coinrun

Both sides are counted in CPU seconds (of this process and the ended children), so that a busy machine changes little,
and alternate: bare, record, bare, record. *Bare* is the package's own environment alone, holding random actions just as
long, drawing its picture where it must be drawn; *recorded* is `worldlet record` with one worker: the same game, the
player, resizing, lossless frames, shards. Opening levels is counted on both sides. Starting is not: what a tenth of the
frames takes is taken off what all of them take, on both sides; the last column but one says what the recorder's start
costs. Let a round record ten seconds or more.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rich.console import Console

from worldlet.data.record import RecordConfig, record
from worldlet.games import make
from worldlet.games.catalog import find_family

# Runs under the interpreter that has the game, where Worldlet may be missing.
BARE = """
import json, resource, sys
import numpy as np
env_id, module, options, skip, frames, steps = json.loads(sys.argv[1])
import importlib
if module: importlib.import_module(module)
rng = np.random.default_rng(0)
if env_id.startswith("procgen/"):
    from procgen import ProcgenGym3Env
    def open_game(seed):
        return ProcgenGym3Env(num=1, env_name=env_id[8:], num_levels=1, start_level=seed, rand_seed=0, num_threads=0)
    def step(env, action):
        env.act(np.array([action])); env.observe()
        return False
    count = 15
else:
    if env_id.startswith("crafter/"):
        import crafter
        def open_game(seed):
            env = crafter.Env(seed=seed); env.reset(); return env
        count, drawn = 17, False
    else:
        import gymnasium
        drawn = options.pop("drawn")
        kept = gymnasium.make(env_id, disable_env_checker=True, **options)
        def open_game(seed):
            kept.reset(seed=seed); return kept
        count = kept.action_space.n
    def step(env, action):
        for _ in range(skip):
            ended = any(env.step(action)[2:4]) if not env_id.startswith("crafter/") else env.step(action)[2]
            if ended: break
        if drawn: env.render()
        return ended
done, seed = 0, 0
while done < frames:
    seed += 1
    env = open_game(seed)
    for _ in range(min(steps, frames - done)):
        ended = step(env, int(rng.integers(count)))
        done += 1
        if ended: break
if hasattr(env, "close"): env.close()
usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(done, sum(usage.ru_utime + usage.ru_stime for usage in usages))
"""


def main() -> None:
    """Measure the games named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("games", nargs="+")
    parser.add_argument("--frames", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("| game | frames | actions | levels | bare, frames/CPU s | recorded | ratio | start, CPU s | raw / shards |")
    print("|---|---|---|---|---|---|---|---|---|")
    for env_id in options.games:
        print(row(env_id, options.frames, options.rounds), flush=True)


def row(env_id: str, frames: int, rounds: int, steps: int = 500) -> str:
    """Measure one game; return its line of the table."""
    game = make(env_id)
    height, width = game.observation_space.shape[:2]
    facts = f"{height}x{width} at {game.metadata['render_fps']:g}/s | {game.action_space.n} | {game.metadata['levels']}"
    game.close()
    bare, recorded, starts, ratio = [], [], [], 0.0
    for _ in range(rounds):
        (few, few_seconds), (many, seconds) = (bare_in(env_id, n, steps) for n in (frames // 10, frames))
        bare.append((many - few) / (seconds - few_seconds))
        (few, few_seconds, _), (many, seconds, ratio) = (recorded_in(env_id, n, steps) for n in (frames // 10, frames))
        recorded.append((many - few) / (seconds - few_seconds))
        starts.append(few_seconds - few / recorded[-1])
    plain, speed, start = median(bare), median(recorded), median(starts)
    figures = f"{plain:,.0f} | {speed:,.0f} | {speed / plain:.2f} | {start:.1f} | {ratio:.0f}"
    return f"| {env_id} | {facts} | {figures} |"


def bare_in(env_id: str, frames: int, steps: int) -> tuple[int, float]:
    """Play the package's own environment in a process of its own; return the frames and its CPU seconds in all."""
    family = find_family(env_id)
    assert family is not None, f"{env_id} is not in the catalogue"
    python = sys.executable
    if family.setup:
        from worldlet.games.remote.setup import environment_python

        python = str(environment_python(family.setup))
    drawn = family.title in ("MiniGrid", "Flappy Bird")
    options = {**family.options, "drawn": drawn, **({"render_mode": "rgb_array"} if drawn else {})}
    wanted = json.dumps([env_id, family.module, options, family.frame_skip, frames, steps])
    command = [python, "-W", "ignore", "-c", BARE, wanted]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    played, seconds = done.stdout.split()[-2:]
    return int(played), float(seconds)


def recorded_in(env_id: str, frames: int, steps: int) -> tuple[int, float, float]:
    """Record; return the frames, the CPU seconds, and how many times larger the raw frames are than the shards."""
    with tempfile.TemporaryDirectory() as folder:
        config = RecordConfig(
            env=env_id, out=str(Path(folder) / "data"), frames=frames, episode_steps=steps, players="random", workers=1,
            held_out="levels", val_fraction=0.0, test_fraction=0.0,
        )  # fmt: skip
        begun = cpu_seconds()
        summary = record(config, Console(quiet=True))
        seconds = cpu_seconds() - begun
        manifest = json.loads((Path(folder) / "data" / "manifest.json").read_bytes())
        height, width = manifest["frame_size"]
        return summary.frames, seconds, summary.frames * height * width * 3 / summary.bytes


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    time.sleep(0.01)
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
