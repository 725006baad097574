#!/usr/bin/env bash
# The whole story: a game becomes a world that you can play. Needs the training extra; two CPU cores are enough.
#   scripts/story.sh          the shipped recipe
#   scripts/story.sh quick    the same steps in minutes, to see that everything works; the world will be poor
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_WAIT_POLICY=PASSIVE

name=platformer frames=200000
if [ "${1:-}" = quick ]; then name=quick frames=4000; fi

worldlet record worldlet/Platformer-v0 --frames "$frames" --out "data/$name"     # players play, shards fill
worldlet train "data/$name" --out "runs/$name" --recipe "$name" --then nothing   # a tokenizer, then dynamics
worldlet export "runs/$name" --out "worlds/$name"                                # ONNX graphs, no torch needed
worldlet eval "worlds/$name" --quick --out card                                  # measured beside the real game
worldlet play "worlds/$name" --headless --steps 300 --seed 7 --out dream.gif     # and a dream to look at
