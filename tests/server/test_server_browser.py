"""The page in a real browser: Debian's Chromium, headless, against a real server over the tiny world."""

import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser test needs playwright: install '.[dev]'")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="the browser test needs Chromium: apt-get install chromium")

PIXELS = """() => {
    const { width, height } = document.getElementById("canvas");
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(document.getElementById("canvas"), 0, 0);
    return [...copy.getImageData(0, 0, width, height).data].join();
}"""
INDEX = "Number(document.getElementById('canvas').dataset.frame ?? -1)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, served: Any) -> Iterator[Any]:
    """The page on a session of seed 3, playing; whatever it writes to the console as an error fails the test."""
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfailed", lambda request: errors.append(f"failed: {request.url}"))
    page.on("response", lambda response: errors.append(response.url) if response.status >= 400 else None)
    page.goto(served.url + "/?seed=3&theme=grass")
    until(page, "document.body.dataset.state === 'playing'")
    yield page
    context.close()
    assert errors == []


def until(page: Any, condition: str) -> None:
    """Wait until a JavaScript condition holds; the page's own policy forbids what playwright brings for this."""
    end = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never true: {condition}; state: {page.evaluate('document.body.innerText')}"
        page.wait_for_timeout(10)


def sent_action(page: Any, name: str) -> None:
    until(page, f"document.querySelector('#actions .sent')?.dataset.action === '{name}'")


def frames_pass(page: Any, count: int = 3) -> None:
    until(page, f"{INDEX} >= {page.evaluate(INDEX) + count}")


def pause(page: Any, served: Any) -> int:
    """Pause and return the frame that is shown once the last frames on their way have come."""
    page.keyboard.press("p")
    until(page, "document.getElementById('pause').ariaPressed === 'true'")
    (player,) = [player for player in served.table if player.owner is not None]
    still, index = 0, -2
    while still < 6:  # a step may have been under way, and for long on a busy machine
        page.wait_for_timeout(50)
        before, index = index, player.session.index
        until(page, f"{INDEX} === {index}")
        still = still + 1 if index == before else 0
    return index


def test_frames_arrive_and_the_page_says_what_it_plays(page):
    frames_pass(page)
    assert page.text_content("#world-title") == "Tiny"
    assert page.text_content("#caption") in ("a green meadow under a blue sky", "a wide gap in the meadow")
    assert page.evaluate("[document.getElementById('canvas').width, document.getElementById('canvas').height]") == [
        24,
        16,
    ]
    assert "seed 3" in page.text_content("#note")


def test_held_keys_become_the_action(page):
    sent_action(page, "noop")
    page.keyboard.down("ArrowRight")
    sent_action(page, "right")
    page.keyboard.down("KeyW")  # keys of two different sets: no combination has both
    page.keyboard.up("ArrowRight")
    sent_action(page, "up")
    page.keyboard.down("KeyD")
    sent_action(page, "right_up")
    page.keyboard.up("KeyD")
    page.keyboard.up("KeyW")
    sent_action(page, "noop")


def test_a_picture_follows_from_its_key(page, served):
    """Paused, the page is stepped with two different keys from the same start: the pictures are the engine's."""
    shown = {}
    for key, action in (("KeyD", "right"), ("KeyW", "up")):
        pause(page, served)
        page.evaluate("document.getElementById('canvas').dataset.frame = -1")
        page.fill("#seed", "5")
        page.keyboard.press("Enter")  # restarts, and plays on
        until(page, "document.getElementById('pause').ariaPressed === 'false'")
        index = pause(page, served)
        before, end = page.evaluate(PIXELS), time.monotonic() + 20
        page.keyboard.down(key)
        page.keyboard.press("n")
        until(page, f"{INDEX} === {index + 1}")
        sent_action(page, action)
        page.keyboard.up(key)
        while (picture := page.evaluate(PIXELS)) == before:  # it is painted with the screen's next refresh
            assert time.monotonic() < end, "the picture never changes"
            page.wait_for_timeout(10)
        shown[action] = picture
        session = served.engine.open(seed=5)
        for _ in range(index):
            session.step("noop")
        assert shown[action] == rgba(session.step(action).frame)
        page.keyboard.press("p")
        until(page, "document.getElementById('pause').ariaPressed === 'false'")


def rgba(frame):
    return ",".join(f"{red},{green},{blue},255" for red, green, blue in frame.reshape(-1, 3))


def test_a_tap_shorter_than_a_frame_still_counts(page):
    frames_pass(page)
    page.evaluate(
        """() => {
            window.seen = new Set();
            const strip = document.getElementById("actions");
            const note = () => seen.add(strip.querySelector(".sent")?.dataset.action);
            new MutationObserver(note).observe(strip, { subtree: true, attributes: true });
            dispatchEvent(new KeyboardEvent("keydown", { code: "KeyX" }));
            dispatchEvent(new KeyboardEvent("keyup", { code: "KeyX" }));
        }"""
    )
    until(page, "seen.has('action') && seen.has('noop')")


def test_pause_holds_and_step_moves_one_frame(page, served):
    frames_pass(page)
    index = pause(page, served)
    assert page.text_content("#overlay") == "Paused"
    page.keyboard.press("n")
    until(page, f"{INDEX} === {index + 1}")
    page.keyboard.press("p")
    frames_pass(page)


def test_rewind_goes_back_while_it_is_held_and_plays_on_after(page):
    frames_pass(page, 12)
    page.keyboard.down("Backspace")
    index = page.evaluate(INDEX)
    until(page, f"{INDEX} <= {index - 6}")
    page.keyboard.up("Backspace")
    until(page, "document.getElementById('overlay').hidden")
    frames_pass(page)


def test_restart_theme_and_prompt(page):
    page.fill("#seed", "77")
    page.press("#seed", "Enter")
    until(page, "document.getElementById('note').textContent.includes('seed 77')")
    page.fill("#seed", "")
    page.click("#themes button:text-is('cave')")
    until(page, "document.getElementById('caption').textContent.includes('cave')")
    assert page.get_attribute("#themes button:text-is('cave')", "aria-pressed") == "true"
    page.fill("#prompt", "a frozen lake")
    page.press("#prompt", "Enter")
    until(page, "document.getElementById('caption').textContent.includes('frozen lake')")
    assert "a prompt only picks the starting frame" in page.text_content("#note")
    page.keyboard.down("KeyD")  # the keys belong to the world again, not to the prompt field
    sent_action(page, "right")
    page.keyboard.up("KeyD")
    page.fill("#seed", "many")
    page.press("#seed", "Enter")
    until(page, "document.getElementById('note').textContent.includes('whole number')")


def test_the_picture_is_scaled_by_whole_device_pixels(page):
    scales = "(() => { const c = document.getElementById('canvas'); const r = c.getBoundingClientRect();"
    scales += " return [r.width * devicePixelRatio / c.width, r.height * devicePixelRatio / c.height]; })()"
    for size in ({"width": 1000, "height": 700}, {"width": 777, "height": 555}, {"width": 360, "height": 640}):
        page.set_viewport_size(size)
        page.wait_for_timeout(50)
        across, down = page.evaluate(scales)
        assert across == down == int(across) >= 8


def test_a_closed_session_is_replaced_by_a_new_one(page, served):
    frames_pass(page, 6)
    (player,) = [player for player in served.table if player.owner is not None]
    served.post(f"/session/{player.id}/close")
    until(page, "document.body.dataset.state === 'lost'")
    until(page, "document.body.dataset.state === 'playing'")
    frames_pass(page)
    assert page.is_hidden("#banner")


def test_a_session_played_elsewhere_is_named_and_can_be_taken_back(page, served):
    (player,) = [player for player in served.table if player.owner is not None]
    with served.play(player.id) as thief:
        thief.ask("action", action=0)
        until(page, "document.body.dataset.state === 'ended'")
        assert "another window" in page.text_content("#banner")
        page.click("#banner-button")
        until(page, "document.body.dataset.state === 'playing'")
        frames_pass(page)
        assert thief.receive()["code"] == "taken_over"


def test_the_page_says_that_the_connection_is_lost_and_comes_back(browser, serve):
    with browser.new_context() as context:
        page = context.new_page()
        with serve() as first:
            page.goto(first.url)
            until(page, "document.body.dataset.state === 'playing'")
        until(page, "document.body.dataset.state === 'lost'")
        assert "connection to the server was lost" in page.text_content("#banner")
        with serve(port=int(first.address.split(":")[1])):
            until(page, "document.body.dataset.state === 'playing'")
            frames_pass(page)
            assert page.is_hidden("#banner")
