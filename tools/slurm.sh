#!/usr/bin/env bash
# Runs attnbench on the nodes of a SLURM job: starts Ray on each, the driver on the first, and ends both with the job.
#
#   ATTNBENCH_MACHINE=name-of-this-kind-of-node sbatch tools/slurm.sh --preset standard
#   ATTNBENCH_MACHINE=name-of-this-kind-of-node sbatch --gpus-per-node=8 tools/slurm.sh --preset full --device cuda
#
# From the repository's folder, on a file system that the nodes share, with its .venv, in which Ray is installed. What follows the script goes
# to `attnbench run`. All nodes should be of one kind, for they have one name; with --exclusive nobody else computes beside what is timed. Ask
# for all cores of a node: what is timed has as many threads as there are. A job that is submitted again goes on where the last one ended.
#SBATCH --job-name=attnbench
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --exclusive
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@120
set -euo pipefail

: "${SLURM_JOB_NODELIST:?submit this script with sbatch}"
: "${ATTNBENCH_MACHINE:?set it to a name for this kind of node; records and rankings are by it}"
export ATTNBENCH_MACHINE RAY_USAGE_STATS_ENABLED=0
cd "${SLURM_SUBMIT_DIR:-.}"
# shellcheck source=/dev/null
source "${VENV:-.venv}/bin/activate"

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
first=${nodes[0]}
port=$((20000 + SLURM_JOB_ID % 10000)) # two jobs may share a node
ip=$(srun --nodes=1 --ntasks=1 --nodelist="$first" hostname --ip-address)
address="${ip%% *}:$port"
cpus=${SLURM_CPUS_PER_TASK:-1} # which srun does not take over from sbatch since SLURM 22.05
node=(--num-cpus="$cpus" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --disable-usage-stats --block)

srun --nodes=1 --ntasks=1 --cpus-per-task="$cpus" --nodelist="$first" \
    ray start --head --node-ip-address="${ip%% *}" --port="$port" --include-dashboard=false "${node[@]}" &
head=$!
until ray status --address "$address" > /dev/null 2>&1; do
    kill -0 "$head" 2> /dev/null || { echo "Ray's head did not start on $first" >&2; exit 1; }
    sleep 2
done
if ((${#nodes[@]} > 1)); then
    others=$((${#nodes[@]} - 1))
    srun --nodes="$others" --ntasks="$others" --cpus-per-task="$cpus" --exclude="$first" \
        ray start --address="$address" "${node[@]}" &
fi

attnbench run --engine ray --address "$address" "$@" &
driver=$!
# SLURM tells this shell two minutes before the job's time is over: the driver then ends as with Ctrl-C, with every record stored.
trap 'kill -TERM "$driver"' INT TERM
code=0
wait "$driver" || code=$?
if kill -0 "$driver" 2> /dev/null; then # the signal ended the wait, not the driver
    code=0
    wait "$driver" || code=$?
fi
trap - INT TERM
mapfile -t steps < <(jobs -p)
kill "${steps[@]}" 2> /dev/null || true # Ray's nodes
wait
exit "$code"
