#!/usr/bin/env bash
# The whole story: a game becomes a world that you can play. Needs the training extra; two CPU cores are enough.
#   scripts/story.sh          the shipped recipe
#   scripts/story.sh quick    the same steps in minutes, to see that everything works; the world will be poor
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_WAIT_POLICY=PASSIVE

frames=200000 recipe=platformer
if [ "${1:-}" = quick ]; then frames=4000 recipe=quick; fi

worldlet record worldlet/Platformer-v0 --frames "$frames" --out data/platformer          # players play, shards fill
worldlet train data/platformer --out runs/platformer --recipe "$recipe"                   # tokenizer, then dynamics
worldlet export runs/platformer --out worlds/platformer                                   # ONNX graphs, no torch needed
worldlet eval worlds/platformer --quick --out card                                        # measured beside the real game
worldlet play worlds/platformer --headless --steps 300 --seed 7 --out dream.gif           # and a dream to look at
