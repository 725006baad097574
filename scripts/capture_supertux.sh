#!/usr/bin/env bash
# SuperTux, a desktop game, captured from a screen of its own while a player of ours presses the keys.
#   scripts/capture_supertux.sh [DATA] [FRAMES]
# Needs: apt-get install supertux xvfb xdotool; pip install -c constraints.txt -e '.[capture]'
# Run it again to go on where it stopped. LEVELS, PLAYER (a --demo) and FPS may be set to others.
set -euo pipefail
data="${1:-data/tux}"
frames="${2:-6000}"
levels="${LEVELS:-welcome_antarctica journey_begins via_nostalgica more_snowballs}"
player="${PLAYER:-sticky}"
keys="right=ArrowRight,left=ArrowLeft,jump=Space,right_jump=ArrowRight+Space,left_jump=ArrowLeft+Space,duck=ArrowDown"
PATH="$PATH:/usr/games"
for program in Xvfb xdotool supertux2 worldlet; do
    command -v "$program" >/dev/null || { echo "$program is missing: see the head of $0" >&2; exit 2; }
done

work="$(mktemp -d)"
screen="" game=""
# The game first and for good: without its screen it would not end.
trap 'kill -KILL $game 2>/dev/null || true; kill $screen 2>/dev/null || true; wait; rm -rf "$work"' EXIT
Xvfb -displayfd 3 -screen 0 640x480x24 -nolisten tcp 3>"$work/display" >/dev/null 2>&1 &
screen=$!
until [ -s "$work/display" ]; do sleep 0.1; done
DISPLAY=":$(cat "$work/display")"
export DISPLAY SDL_AUDIODRIVER=dummy
datadir="$(supertux2 --print-datadir --userdir "$work/user" 2>/dev/null | tail -n 1)"

# A level that is over closes the game and so ends the capture; the next level goes on with the same folder.
part=0
for level in $levels; do
    part=$((part + 1))
    supertux2 --window --geometry 640x480 --aspect 4:3 --renderer sdl --disable-sound --disable-music \
        --userdir "$work/user" "$datadir/levels/world1/$level.stl" \
        >"$work/$level.log" 2>&1 &
    game=$!
    timeout 120 xdotool search --sync --onlyvisible --name SuperTux >/dev/null
    sleep "${LOADING:-5}" # the picture of the level's name
    worldlet capture --window SuperTux --out "$data" --frames $((frames * part / $(wc -w <<<"$levels"))) \
        --fps "${FPS:-30}" --width 160 --keys "$keys" --demo "$player" || ! kill -0 "$game" 2>/dev/null
    kill -KILL "$game" 2>/dev/null || true
    wait "$game" 2>/dev/null || true
done
