# Builds datasets: a worker without a GPU. In a clone, then beside a folder of videos:
#   docker build -f recipes/docker/cpu.Dockerfile -t brickfilm .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" brickfilm build films/ --out work/mine --captions none
# The image was not built here: docs/install.md says what was tried in its place.
FROM python:3.12-slim
COPY pyproject.toml constraints.txt README.md LICENSE /src/
COPY brickfilm /src/brickfilm
COPY finetune /src/finetune
COPY cards /src/cards
COPY recipes /src/recipes
RUN pip install --no-cache-dir -c /src/constraints.txt '/src[youtube,remote]' && rm -r /src
# Any --user, who has no home in the image: what it writes to /data belongs to that user.
ENV HOME=/tmp USER=worker
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["brickfilm"]
