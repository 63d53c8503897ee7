# Builds datasets: a worker without a GPU. In a clone:
#   docker build -f recipes/docker/cpu.Dockerfile -t brickfilm .
#   docker run --rm -v "$PWD:/data" brickfilm build films/ --out work/mine --captions none
# The image was not built here; tests build the wheel from just the files that it copies.
FROM python:3.12-slim
COPY pyproject.toml constraints.txt README.md LICENSE /src/
COPY brickfilm /src/brickfilm
COPY finetune /src/finetune
COPY cards /src/cards
COPY recipes /src/recipes
RUN pip install --no-cache-dir -c /src/constraints.txt '/src[youtube,remote]' && rm -r /src
WORKDIR /data
ENTRYPOINT ["brickfilm"]
