#!/usr/bin/env bash
# Run a command of finetune on every host of a file, by ssh and torchrun; in the folder where it is called, which all share:
#   HOSTS=hosts GPUS=8 bash torchrun.sh preflight text2bricks/32f-stage1
#   HOSTS=hosts GPUS=8 bash torchrun.sh train text2bricks/32f-stage1 --resume auto
# HOSTS: a file with one host a line, the first of which is rank 0's. It exits with the worst exit code of a host. Ctrl-C
# ends all of them; a training saves a checkpoint first (TORCH_ELASTIC_SHUTDOWN_TIMEOUT in environment.sh).
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
environment=${ENVIRONMENT:-$here/environment.sh}
mapfile -t hosts < <(grep -v '^ *\(#\|$\)' "${HOSTS:?a file with one host a line}")
head=${MASTER_ADDR:-${hosts[0]}}
jobs=()
for node in "${!hosts[@]}"; do
  printf -v command '%q ' torchrun --nnodes "${#hosts[@]}" --nproc-per-node "${GPUS:?GPUs of a host}" --node-rank "$node" \
    --master-addr "$head" --master-port "${PORT:-29500}" --max-restarts 0 -m finetune "$@"
  # -tt: with a terminal, the host's processes end with this script
  ${SSH:-ssh -tt} "${hosts[$node]}" "cd $(printf %q "$PWD") && . $(printf %q "$environment") && exec $command" </dev/null &
  jobs+=($!)
done
trap 'kill -TERM "${jobs[@]}" 2>/dev/null' INT TERM
worst=0
for job in "${jobs[@]}"; do
  wait "$job" || { code=$?; [ "$code" -gt "$worst" ] && worst=$code; }
done
exit "$worst"
