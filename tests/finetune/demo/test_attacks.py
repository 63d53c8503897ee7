"""A visitor without a browser sends the demo and a Space what the page would never send."""

from __future__ import annotations

import io
import socket
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.kit.demo_server import DemoServer, ask_call, ask_queue, fetch, upload
from tests.kit.picture_bomb import bomb
from tests.kit.toy_model import PROMPT

pytestmark = pytest.mark.slow
OWN_PROMPT = PROMPT.replace("0", "5")
META = {"_type": "gradio.FileData"}
NUMBERS = [4, 32, 48, 3, 4.0, 1]  # frames, height, width, steps, guidance, seed


@pytest.fixture(params=["served_demo", "served_space"])
def server(request: pytest.FixtureRequest) -> DemoServer:
    server: DemoServer = request.getfixturevalue(request.param)
    return server


def refused(server: DemoServer, image: object, numbers: list[Any] = NUMBERS) -> str:
    """Send a request by both ways; return the error, the same for both; nothing is written."""
    before = server.written()
    data = [OWN_PROMPT, image, *numbers]
    answers = [ask(server, data) for ask in (ask_call, ask_queue)]
    assert server.written() == before
    assert "output" not in answers[0] and "output" not in answers[1], answers
    errors = [answer["error"] or "" for answer in answers]  # Gradio's own refusals have no text
    assert errors[0] == errors[1] and "\n" not in errors[0]
    return str(errors[0])


def picture(side: int = 32) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 64).convert("RGB").save(file, "PNG")
    return file.getvalue()


def test_a_file_that_nobody_uploaded_is_not_opened(server: DemoServer, tmp_path: Path) -> None:
    secret = tmp_path / "x.png"
    secret.write_bytes(picture())
    up = "../" * len(server.uploads.parts)
    paths = [str(secret), "/etc/passwd", f"{server.uploads}/{up}etc/passwd", str(server.uploads)]
    paths += ["app.py", "model/config.json", "", f"file://{secret}", f"{server.uploads}/none.png"]
    for path in paths:
        for meta in ({"meta": META}, {"meta": META, "is_stream": True}, {}):
            error = refused(server, {"path": path, "url": f"file://{secret}", **meta})
            assert str(server.folder) not in error and str(secret) not in error
    for image in (str(secret), [str(secret)], 3, {"url": str(secret), "meta": META}):
        refused(server, image)


def test_an_address_of_the_network_inside_is_not_asked(server: DemoServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.settimeout(0.2)
        url = f"http://127.0.0.1:{inside.getsockname()[1]}/x.png"
        refused(server, {"path": url, "meta": META})
        refused(server, {"path": url})
        assert fetch(f"{server.address}gradio_api/file={url}")[0] == 403
        assert fetch(f"{server.address}gradio_api/proxy={url}")[0] == 400
        with pytest.raises(TimeoutError):
            inside.accept()


def test_the_file_route_opens_nothing_outside(server: DemoServer, tmp_path: Path) -> None:
    secret = tmp_path / "x.txt"
    secret.write_text("secret")
    status, mine = upload(server, "mine.png", picture())
    assert status == 200
    route = f"{server.address}gradio_api/file="
    assert fetch(f"{route}{mine}")[0] == 200
    outside = [secret, "/etc/passwd", "app.py", "model/config.json", "pyproject.toml", "../app.py"]
    outside += [server.folder / "app.py", f"{server.out}/../app.py", f"{mine}/../../../{secret}"]
    for path in (*outside, server.uploads, Path(mine).parent, server.out, "~/.bashrc", ""):
        status, text = fetch(f"{route}{path}")
        assert (status, "secret" in text) == (403, False), path
    for path in ("%2e%2e/%2e%2e/etc/passwd", "%2Fetc%2Fpasswd", "/etc/passwd%00.png"):
        assert fetch(f"{route}{path}")[0] >= 400, path


def test_a_start_image_is_open_to_its_own_visitor_alone(server: DemoServer) -> None:
    status, mine = upload(server, "mine.png", picture())
    assert status == 200
    before = server.written()
    made = ask_call(server, [OWN_PROMPT, {"path": mine, "meta": META}, *NUMBERS])["output"]
    assert made[0]["path"].endswith(".mp4")
    kept = [file for file in server.written() - before if file.suffix == ".png"]
    assert [file.read_bytes() for file in kept] == [Path(mine).read_bytes()]
    assert fetch(f"{server.address}gradio_api/file={kept[0]}")[0] == 403
    assert "mine" not in str(kept[0])
    refused(server, {"path": str(kept[0]), "meta": META})


def test_no_number_leaves_its_bounds(server: DemoServer) -> None:
    names = ("frames", "height", "width", "steps", "guidance", "seed")
    for at, name in enumerate(names):
        for value in (-1, 1e30, "8", [8]):
            numbers = [*NUMBERS[:at], value, *NUMBERS[at + 1 :]]
            assert refused(server, None, numbers).startswith(f"{name} "), value


def test_large_images_are_one_line(server: DemoServer) -> None:
    for side in (6_400, 50_000):
        status, path = upload(server, "bomb.png", bomb(side))
        assert status == 200
        error = refused(server, {"path": path, "meta": META})
        assert "pixels" in error or "cannot be read" in error
    before = server.written()
    status, _ = upload(server, "large.png", bytes((20 << 20) + 1))
    assert status == 413
    assert server.written() == before
