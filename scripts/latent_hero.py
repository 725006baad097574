"""Does a latent code mean the same everywhere? Measured with the platformer's ground truth, which training never saw.

    python scripts/latent_hero.py CODES DATA [--moments 400]

CODES is a folder that `worldlet label DATA --out CODES` wrote, DATA a recording of worldlet/Platformer-v0 with a test
split. For each code: what the true hero did where the model read that code (from the recorded facts), and what the
hero does when the code is put into moments of *other* episodes and the forward network imagines the next frame (his
pixels found again by template matching). Moments in which the camera moves or the hero is not seen are left out.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from worldlet.data.shards import read_episodes, read_manifest
from worldlet.dynamics.inverse import resize
from worldlet.dynamics.latent import LatentActions
from worldlet.records import Episode


def usable(episode: Episode) -> NDArray[np.int64]:
    """Return the moments at which the camera rests and the hero is seen before and after."""
    camera, mask = episode.facts["camera"][:, 0], episode.facts["hero_mask"].sum((1, 2)) >= 60
    return np.flatnonzero((camera[1:] == camera[:-1]) & mask[1:] & mask[:-1])


def displacement(
    before_HWC: NDArray[np.uint8], after_HWC: NDArray[np.uint8], mask_HW: NDArray[np.bool_], reach: int
) -> NDArray[np.int64]:
    """Return how far (down, right) the masked pixels moved: the best match, the shortest of equals."""
    rows, columns = np.nonzero(mask_HW)
    hero = before_HWC[rows, columns].astype(np.float64)
    shifts = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    shifts.sort(key=lambda shift: abs(shift[0]) + abs(shift[1]))
    errors = []
    for y, x in shifts:
        r, c = np.clip(rows + y, 0, len(before_HWC) - 1), np.clip(columns + x, 0, before_HWC.shape[1] - 1)
        errors.append(np.square(after_HWC[r, c] - hero).mean())
    return np.array(shifts[int(np.argmin(errors))])


def information(codes: NDArray[np.int64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return the mutual information of codes and labels in bits, and the entropy of the labels."""
    joint = np.zeros((codes.max() + 1, labels.max() + 1))
    np.add.at(joint, (codes, labels), 1)
    joint /= joint.sum()
    code, label = joint.sum(1, keepdims=True), joint.sum(0, keepdims=True)
    there = joint > 0
    shared = float((joint[there] * np.log2(joint[there] / (code @ label)[there])).sum())
    return shared, float(-(label[label > 0] * np.log2(label[label > 0])).sum())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("codes")
    parser.add_argument("data")
    parser.add_argument("--moments", type=int, default=400, help="moments of other episodes tried with every code")
    options = parser.parse_args()
    model = LatentActions.load(options.codes)
    names = read_manifest(options.data)["action_names"]
    episodes = list(read_episodes(options.data, "test"))
    size, reach = model.config.frame_size, model.config.reach
    scale = episodes[0].frames_THWC.shape[1] / size[0]
    codes, actions, moves = [], [], []
    for episode in episodes[0::2]:
        at = usable(episode)
        codes.append(model.infer(episode.frames_THWC)[at])
        actions.append(episode.actions_T[at])
        screen = episode.facts["hero_screen"]
        moves.append((screen[at + 1] - screen[at])[:, ::-1])
    code_M, action_M, move_M2 = np.concatenate(codes), np.concatenate(actions), np.concatenate(moves)
    sideways_M = np.sign(move_M2[:, 1]) + 1
    for word, labels in (("action", action_M), ("left, still or right", sideways_M)):
        shared, whole = information(code_M, labels)
        chance, _ = information(np.random.default_rng(0).permutation(code_M), labels)
        print(f"a code tells {shared:.3f} of {whole:.3f} bits about: {word} (codes shuffled: {chance:.3f})")
    print(f"\n{len(code_M)} moments read, {options.moments} moments of other episodes tried; pixels of the game")
    print("code  share  true moves down, right (mean)  commonest action    imagined elsewhere  same way sideways")
    rng = np.random.default_rng(0)
    others = [(episode, t) for episode in episodes[1::2] for t in usable(episode) if t > 0]
    chosen = [others[i] for i in rng.choice(len(others), min(options.moments, len(others)), replace=False)]
    same = np.zeros((model.config.codes, model.config.codes))
    used = np.bincount(code_M, minlength=model.config.codes)
    for code in np.flatnonzero(used):
        imagined = []
        for episode, t in chosen:
            past = resize(episode.frames_THWC[t - 1 : t + 1], size)
            mask = np.repeat((episode.facts["hero_mask"][t] * np.uint8(255))[None, ..., None], 3, -1)
            mask_HW = resize(mask, size)[0, ..., 0] > 127
            if mask_HW.sum() >= 8:
                imagined.append(displacement(past[1], model.imagine(past[None], np.array([code]))[0], mask_HW, reach))
        usual = [np.median(move_M2[code_M == other, 1]) if used[other] else np.nan for other in range(len(used))]
        sideways = np.sign(np.array(imagined)[:, 1])
        same[code] = [np.nan if np.isnan(way) else np.mean(sideways == np.sign(way)) for way in usual]
        true, made = move_M2[code_M == code].mean(0), scale * np.mean(imagined, 0)
        action = names[np.bincount(action_M[code_M == code]).argmax()]
        share = used[code] / used.sum()
        print(f"{code:4}  {share:5.1%}  {true[0]:+6.2f} {true[1]:+6.2f}", end="")
        print(f"                 {action:18}  {made[0]:+6.2f} {made[1]:+6.2f}       {same[code, code]:.3f}")
    live = np.flatnonzero(used)
    weights = used[live] / used.sum()
    matched = float((weights * same[live, live]).sum())
    crossed = float((weights[:, None] * weights[None] * same[np.ix_(live, live)]).sum())
    print(
        f"\nthe hero moves as the code's own clips say: {matched:.3f}; with the code of another moment: {crossed:.3f}"
    )


if __name__ == "__main__":
    main()
