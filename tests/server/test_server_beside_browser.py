"""The page of dream and reality in a real browser, against a tiny game and the tiny world."""

import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tiny_game import TinyGame

from tests.server.conftest import serving
from worldlet.server.beside import BesideTable
from worldlet.server.limits import ServerLimits

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser test needs playwright: install '.[dev]'")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="the browser test needs Chromium: apt-get install chromium")

INDEX = "Number(document.getElementById('canvas').dataset.frame ?? -1)"
AGE = "Number(document.getElementById('dream').dataset.age ?? -1)"
PIXELS = """(id) => {
    const { width, height } = document.getElementById(id);
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(document.getElementById(id), 0, 0);
    return [...copy.getImageData(0, 0, width, height).data];
}"""


@pytest.fixture(scope="module")
def both(tiny_engine: Any) -> Iterator[tuple[Any, BesideTable]]:
    table = BesideTable({"tiny": tiny_engine}, ServerLimits(), lambda theme: TinyGame(themes=("snow", "lava")))
    with serving(tiny_engine, ServerLimits(), beside=table) as served:
        yield served, table


@pytest.fixture
def page(both: Any) -> Iterator[Any]:
    """The page on the level of seed 3, playing; whatever it writes to the console as an error fails the test."""
    errors: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        page.on("console", lambda told: errors.append(told.text) if told.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("response", lambda response: errors.append(response.url) if response.status >= 400 else None)
        page.goto(both[0].url + "/beside?seed=3")
        until(page, "document.body.dataset.state === 'playing'")
        yield page
        browser.close()
    assert errors == []


def until(page: Any, condition: str) -> None:
    end = time.monotonic() + 60
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never true: {condition}; state: {page.evaluate('document.body.innerText')}"
        page.wait_for_timeout(10)


def pause(page: Any, table: BesideTable) -> Any:
    """Pause, wait until the last pair on its way is shown, and return that pair."""
    page.keyboard.press("p")
    until(page, "document.getElementById('pause').ariaPressed === 'true'")
    (player,) = [player for player in table if player.owner is not None]
    for _ in range(2):  # a step may have been under way
        page.wait_for_timeout(50)
        until(page, f"{INDEX} === {player.beside.look().index}")
    return player.beside.look()


def until_shown(page: Any, canvas: str, frame: Any) -> None:
    """Wait for a picture: PNG answers are decoded beside everything else."""
    wanted = [value for pixel in frame.reshape(-1, 3).tolist() for value in (*pixel, 255)]
    end = time.monotonic() + 60
    while page.evaluate(PIXELS, canvas) != wanted:
        assert time.monotonic() < end, f"{canvas} never showed the frame"
        page.wait_for_timeout(10)


def test_the_page_plays_both_on_the_same_keys_and_syncs_pauses_steps_and_swaps(page, both):
    _, table = both
    until(page, f"{INDEX} >= 3")
    assert page.evaluate("[document.getElementById('dream').width, document.getElementById('dream').height]") == [
        24,
        16,
    ]
    page.keyboard.down("ArrowRight")
    until(page, "document.querySelector('#actions .sent')?.dataset.action === 'right'")
    pair = pause(page, table)
    until_shown(page, "canvas", pair.real)
    until_shown(page, "dream", pair.dream)
    assert page.text_content("#psnr").startswith(f"{pair.psnr_db:.1f}")
    assert page.is_hidden("#hero-meter") and page.is_hidden("#hero-legend")  # this game knows of no hero

    page.keyboard.press("n")  # one step, with the key that is held
    until(page, f"{INDEX} === {pair.index + 1}")
    (player,) = [player for player in table if player.owner is not None]
    stepped = player.beside.look()
    assert player.beside._actions[-1] == 3
    until_shown(page, "canvas", stepped.real)
    assert (stepped.real != pair.real).any()

    page.keyboard.press("r")  # the dream is opened anew on the last real frames; nothing else moves
    until(page, f"{AGE} === 0")
    synced = player.beside.look()
    assert (synced.index, synced.age) == (stepped.index, 0)
    until_shown(page, "dream", synced.dream)

    place = "document.getElementById('canvas').getBoundingClientRect().left"
    before = page.evaluate(place)
    page.keyboard.press("v")
    assert page.evaluate(place) > before and page.get_attribute("#swap", "aria-pressed") == "true"
    assert drawn_in_colour(page) > 0  # how long the curve is by now depends on the machine

    page.keyboard.up("ArrowRight")
    page.keyboard.press("p")
    until(page, f"{INDEX} > {stepped.index + 2}")


def drawn_in_colour(page: Any) -> int:
    """Pixels of the divergence curve."""
    return page.evaluate(
        """() => {
            const { width, height } = document.getElementById("curve");
            const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
            copy.drawImage(document.getElementById("curve"), 0, 0);
            const { data } = copy.getImageData(0, 0, width, height);
            let count = 0;
            for (let at = 0; at < data.length; at += 4) count += data[at + 3] > 0 && data[at] - data[at + 2] > 60;
            return count;
        }"""
    )


def test_a_new_level_by_seed_and_by_theme(page, both):
    _, table = both
    assert "level 3" in page.text_content("#level")
    page.fill("#seed", "5")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('level').textContent === 'level 5'")
    page.fill("#seed", "five")
    page.keyboard.press("Enter")
    assert "whole number" in page.text_content("#note")
    page.fill("#seed", "")
    page.click("#themes button:text('lava')")
    until(page, "document.getElementById('level').textContent !== 'level 5'")
    (player,) = [player for player in table if player.owner is not None]
    assert player.beside.theme == "lava"
