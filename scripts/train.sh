#!/usr/bin/env bash
# Train a list of stages on shards of your own films, data-parallel over all GPUs of one node or several:
#
#   scripts/train.sh runs/triplets runs/mine                                         one node, eight GPUs
#   NODES=2 NODE=0 HEAD=name-of-node-0 scripts/train.sh shards runs/mine             on the first of two
#   DRY=1 scripts/train.sh runs/triplets runs/dry        two steps of the tiny model, two CPU processes, any machine
#
# What comes after the folders is settings, as `omni-lab config` lists them: training.stages.omni.steps=200.
#
# Needs: PyTorch with CUDA and this package on every node (`pip install -e .`); shards and a run folder that all nodes
# see; port 29500 of the first node open to the others. Every GPU holds the whole model.
set -euo pipefail

DATA=${1:?name a folder of shards, such as runs/triplets}
OUT=${2:?name a run folder, such as runs/mine}
shift 2
PYTHON=${PYTHON:-python}

if [[ -n ${DRY:-} ]]; then
    export ACCELERATE_USE_CPU=true
    exec "$PYTHON" -m torch.distributed.run --standalone --nproc-per-node 2 -m omni_lab.cli.main train \
        --preset tiny --data "$DATA" --out "$OUT" --stages omni --set training.stages.omni.steps=2 \
        training.stages.omni.batch_size=2 training.stages.omni.align_weight=0 "$@"
fi

exec "$PYTHON" -m torch.distributed.run --nnodes "${NODES:-1}" --node-rank "${NODE:-0}" --nproc-per-node "${GPUS:-8}" \
    --master-addr "${HEAD:-127.0.0.1}" --master-port 29500 -m omni_lab.cli.main train \
    --preset "${PRESET:-small}" --data "$DATA" --out "$OUT" --set seed=0 "$@"
