#!/usr/bin/env bash
# Train on rows of about 131,072 tokens that eight GPUs share, on one node or several. Run it on every node:
#
#   NODES=2 NODE=0 HEAD=name-of-node-0 scripts/train_long_context.sh runs/long       on the first
#   NODES=2 NODE=1 HEAD=name-of-node-0 scripts/train_long_context.sh runs/long       on the second
#   DRY=1 scripts/train_long_context.sh runs/dry       two steps of the tiny model, two CPU processes, any machine
#
# What comes after the folder is settings, as `omni-lab config` lists them: training.stages.albums.steps=200.
#
# Needs: PyTorch with CUDA and this package on every node (`pip install -e .`); a run folder that all nodes see; port
# 29500 of the first node open to the others; nothing from the network, since `small` begins with random weights.
# A ring stays within a node while RING divides GPUS: between nodes travel gradients only. Every GPU holds the whole
# model, since data parallel training splits nothing: `full_7b`, 7 B weights trained in float32, fits no 80 GiB.
#
# Expected cost, planned and not measured: the decoder alone on H100s, once a row's share lies on each of them. Encoders,
# the drawing of the pictures and the optimizer's step come on top.
#
#   omni-lab plan --preset small --tokens 131072 --gpus 16 --ranks 8 --vocabulary 85 --no-recompute
#   GPUs share tokens |    step    work    wait    attn weights
#     16     8  16384 |   0.268   0.267   0.000   0.001   0.000
set -euo pipefail

OUT=${1:?name a run folder, such as runs/long}
shift
PYTHON=${PYTHON:-python}
GPUS=${GPUS:-8}                  # on every node
RING=${RING:-8}                  # GPUs that share a row
ALBUMS=${ALBUMS:-546}            # of a row; one has about 240 tokens in `small`
RINGS=$((${NODES:-1} * GPUS / RING))

if [[ -n ${DRY:-} ]]; then
    export ACCELERATE_USE_CPU=true
    exec "$PYTHON" -m torch.distributed.run --standalone --nproc-per-node 2 -m omni_lab.cli.main train \
        --preset tiny --stages albums --out "$OUT" --set sequence.layout=F4 training.context_parallel=2 \
        training.stages.albums.batch_size=2 training.stages.albums.steps=2 "$@"
fi

# The ring and data parallel training have an NCCL communicator each, and both are at work in backward: their kernels
# must be able to run side by side, in whatever order GPUs start them. One hardware queue, or an order forced upon the
# communicators, can make two GPUs wait for each other.
unset CUDA_DEVICE_MAX_CONNECTIONS NCCL_LAUNCH_ORDER_IMPLICIT

exec "$PYTHON" -m torch.distributed.run --nnodes "${NODES:-1}" --node-rank "${NODE:-0}" --nproc-per-node "$GPUS" \
    --master-addr "${HEAD:-127.0.0.1}" --master-port 29500 -m omni_lab.cli.main train \
    --preset "${PRESET:-small}" --stages albums --out "$OUT" --set sequence.layout=F4 \
    training.context_parallel="$RING" training.stages.albums.batch_size=$((ALBUMS * RINGS)) "$@"
