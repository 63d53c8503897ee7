# The environment of every node, on the file system that they share. Source it on every node:
#   source environment.sh            activates the environment, and creates it at the first time (do that on one node)
# BRICKFILM_ENV   its folder                              (default: ./env, beside this file)
# ROUTE           torch, or colossalai                    (default: torch; docs/finetune.md, Engines)
#   torch:        the torch that is installed below, and ColossalAI beside it if COLOSSALAI=1
#   colossalai:   an environment of ColossalAI's own pins (torch 2.5.1)
# TORCH           what pip installs as torch, for your CUDA (default: torch)
# FLASH=1, APEX=/path/to/apex   FlashAttention-4, NVIDIA Apex: not needed, and absent by default
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export BRICKFILM_ENV=${BRICKFILM_ENV:-$here/env}

if [ ! -e "$BRICKFILM_ENV/.complete" ]; then
  (
    set -e
    "${PYTHON:-python3}" -m venv "$BRICKFILM_ENV"
    pip="$BRICKFILM_ENV/bin/python -m pip install"
    if [ "${ROUTE:-torch}" = colossalai ]; then
      $pip "${BRICKFILM:-brickfilm}[finetune,colossalai]"
    else
      $pip ${TORCH:-torch}
      $pip "${BRICKFILM:-brickfilm}[finetune,lora]"
      if [ "${COLOSSALAI:-}" ]; then
        $pip psutil packaging rich tqdm einops safetensors peft galore-torch bitsandbytes fabric
        $pip --no-deps colossalai==0.5.0
      fi
    fi
    if [ "${FLASH:-}" ]; then $pip "${BRICKFILM:-brickfilm}[flash]"; fi
    if [ "${APEX:-}" ]; then $pip --no-build-isolation "$APEX"; fi
    touch "$BRICKFILM_ENV/.complete"
  ) || return 1
fi
. "$BRICKFILM_ENV/bin/activate"

# NCCL. Name the ports if preflight shows a slow link between nodes (docs/cluster.md, Slow links).
# export NCCL_SOCKET_IFNAME=eth0 GLOO_SOCKET_IFNAME=eth0 NCCL_IB_HCA=mlx5
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}  # torchrun would say 1
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-600}  # seconds to save in; torchrun would give 30
export HF_HOME=${HF_HOME:-$here/hf}           # weights are fetched once for all nodes
