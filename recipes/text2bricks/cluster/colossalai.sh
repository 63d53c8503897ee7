#!/usr/bin/env bash
# The same by ColossalAI's launcher (COLOSSALAI=1 or ROUTE=colossalai in environment.sh), which reaches hosts by ssh too:
#   HOSTS=hosts GPUS=8 bash colossalai.sh train text2bricks/32f-stage1 --resume auto
# It puts the arguments into a line of shell without quotes: no spaces in them. Run by us on one host with one GPU, not over ssh.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "${ENVIRONMENT:-$here/environment.sh}"
head=${MASTER_ADDR:-$(grep -v '^ *\(#\|$\)' "${HOSTS:?a file with one host a line}" | head -n 1)}
exec colossalai run --hostfile "$HOSTS" --nproc_per_node "${GPUS:?GPUs of a host}" --master_addr "$head" \
  --master_port "${PORT:-29500}" "$here/run.py" "$@"
