#!/usr/bin/env bash
# Pretraining under Slurm, on one node or several: one task a node, which runs torchrun with all GPUs of its node.
#
#   sbatch --nodes 2 examples/slurm_pretrain.sh experiment=simclr_node data=SET out=RUN [key=value …]
#
# SET and RUN lie where every node sees them. Two minutes before the time is over the run saves and leaves, and the job
# is queued again with the same command, until the run is finished. PROCESSES=4 starts four processes a node instead of
# one for each GPU.
#SBATCH --job-name=radnet
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=96
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

out=
for override in "$@"; do
    case $override in out=*) out=${override#out=} ;; esac
done
[ -n "$out" ] || { echo "usage: sbatch examples/slurm_pretrain.sh data=SET out=RUN [key=value …]" >&2; exit 2; }
submitted=${SLURM_SUBMIT_DIR:-$PWD}    # Slurm runs a copy of this file: its own place says nothing
[ -x "$submitted/.venv/bin/torchrun" ] && PATH="$submitted/.venv/bin:$PATH"

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
mkdir -p "$(dirname "$out")"
started=$(mktemp "$(dirname "$out")/.started.XXXXXX")    # beside the run: both times are of one clock
trap 'rm -f "$started"' EXIT

# torchrun starts all processes again when one dies, and they go on from the newest checkpoint. It hands on the signals
# that it is told to handle, and dies of others. It kills processes 30 s after a signal unless told to wait: a step and
# a checkpoint may take longer.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=100
code=0
srun --kill-on-bad-exit=1 torchrun \
    --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "${PROCESSES:-gpu}" --max-restarts 3 \
    --rdzv-backend c10d --rdzv-endpoint "$first:$((10000 + SLURM_JOB_ID % 20000))" \
    --rdzv-id "$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}" \
    --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 \
    -m radnet pretrain "$@" || code=$?

# A stopped run says so in stopped.json, because torchrun hides its exit code, 75. An older file is of an earlier job,
# and SIGTERM comes from somebody who wants the job to end.
if [ "$code" -eq 75 ] || { [ "$out/stopped.json" -nt "$started" ] && ! grep -q SIGTERM "$out/stopped.json"; }; then
    echo "stopped before its end: queued again" >&2
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$code"
