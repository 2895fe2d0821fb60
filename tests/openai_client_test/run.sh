#!/bin/bash
# Runs the tests of this folder on a little model with random weights. Where Node.js or the client
# is not installed it says so and ends with 77, which ctest counts as skipped.
set -euo pipefail

skip() { echo "skipped: $*"; exit 77; }
command -v node > /dev/null || skip "there is no node; scripts/packages has it"
[[ -d $LONGRUN_NODE/node_modules/openai ]] ||
  skip "the openai client is not in $LONGRUN_NODE/node_modules; scripts/test installs it"

folder=$(mktemp -d /tmp/longrun-openai-client-XXXXXX)
trap 'rm -rf "$folder"' EXIT
python=/usr/bin/python3  # the one that has numpy
[[ -x $python ]] || python=python3
export LONGRUN_MODEL=$folder/little
# Its context is long for its size, so that filling it takes a second or more.
"$python" -B "$LONGRUN_SOURCE/bench/random_gpt2.py" "$LONGRUN_MODEL" --type f32 \
  --layers 4 --width 128 --heads 4 --context 4096 --vocab 600
node --test "$LONGRUN_SOURCE"/tests/openai_client_test/*_test.mjs
