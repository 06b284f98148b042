#!/usr/bin/env bash
# Runs a vecparity command that takes --workers on all machines of a SLURM job, as one Ray cluster:
#
#   sbatch --nodes=4 --cpus-per-task=32 --time=4:00:00 scripts/slurm.sh \
#       sweep mine.py --over lr=1e-3:1e-1:9:log --history sweep.sqlite --reuse
#
# vecparity with the extra `cluster` is on the PATH. What the command prints is in vecparity-JOB.out, what Ray and SLURM
# say in slurm-JOB.out. Before the job's time is over, the command is interrupted; if it can go on (exit status 75), the
# job waits in the queue again. See `vecparity guide slurm`.
#SBATCH --job-name=vecparity
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: sbatch --nodes=N scripts/slurm.sh {eval|compare|search|sweep} ..." >&2; exit 2; }
: "${SLURM_JOB_ID:?expected a SLURM job: sbatch scripts/slurm.sh ...}"

# This script runs on the job's first machine.
host=${VECPARITY_HEAD_HOST:-$(hostname -I | cut -d ' ' -f 1)}
# None of the ports that Ray gives to its workers, or the system to who asks for any.
export address="$host:$((20000 + SLURM_JOB_ID % 12000))"
# Ray's files and sockets, on each machine's own disk. Sockets' paths are limited to 107 bytes, of which Ray needs most.
place=${TMPDIR:-/tmp}
[ "${#place}" -le 15 ] || place=/tmp
export RAY_TMPDIR="$place/vecparity-$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}"
mkdir -p "$RAY_TMPDIR"
export output="$PWD/vecparity-$SLURM_JOB_ID.out"

# Who has no token, drawn for this job alone, can submit nothing to its cluster.
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
# The others end so many seconds after the first machine, instead of 60.
export RAY_gcs_rpc_server_reconnect_timeout_s=10

tidy() {
    srun --overlap --ntasks-per-node=1 rm -rf "$RAY_TMPDIR" || true
}
trap tidy EXIT
# The command keeps what it can; Ray ends when it has ended.
trap '[ ! -s "$RAY_TMPDIR/driver" ] || kill -TERM "$(cat "$RAY_TMPDIR/driver")" || true' TERM

# `ray symmetric-run` starts a Ray node on every machine, has the first one run the command, and ends all of them. Its own
# exit status is not always the command's.
cpus=${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}
srun --overlap --ntasks-per-node=1 --cpus-per-task="$cpus" --kill-on-bad-exit=0 ray symmetric-run \
    --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus "$cpus" \
    --object-store-memory 200000000 -- bash -c '
        (echo "$BASHPID" > "$RAY_TMPDIR/driver"; exec vecparity "$@" --workers "$address" > "$output")
        echo $? > "$RAY_TMPDIR/status"
    ' vecparity "$@" &
cluster=$!
while kill -0 "$cluster" 2> /dev/null; do  # a signal ends a `wait`, and not what it waits for
    wait "$cluster" || true
done
status=$(cat "$RAY_TMPDIR/status" || echo 6)
# Only a command that goes on where it was: any other one would begin anew, again and again.
if [ "$status" -eq 75 ] && [[ " $* " =~ " --"(resume|reuse|study)[=\ ] ]]; then
    trap - EXIT  # requeueing ends this script
    tidy
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
