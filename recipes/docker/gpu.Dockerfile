# Trains and samples on NVIDIA GPUs: torch's wheel brings CUDA, the host its driver and the container toolkit.
#   docker build -f recipes/docker/gpu.Dockerfile -t finetune .
#   docker run --rm --gpus all --shm-size 8g --user "$(id -u):$(id -g)" -v "$PWD:/data" finetune train wan/1.3b-lora --resume auto
# The image was not built here: docs/install.md says what was tried in its place.
FROM python:3.12-slim
# Triton and torch.compile call a C compiler when they first meet a GPU.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml constraints.txt README.md LICENSE /src/
COPY brickfilm /src/brickfilm
COPY finetune /src/finetune
COPY cards /src/cards
COPY recipes /src/recipes
RUN pip install --no-cache-dir -c /src/constraints.txt '/src[finetune,lora,8bit]' && rm -r /src
# Any --user, who has no home in the image (torch asks for a user's name): what it writes to /data belongs to that user.
ENV HOME=/tmp USER=worker HF_HOME=/data/.huggingface
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["finetune"]
