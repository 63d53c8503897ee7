"""Degrade rendered frames the way real brick films are: one function per effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sin, tau
from random import Random
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class EffectContext:
    """The unique frame that an effect is applied to."""

    seed: int
    shot: int
    view: int
    is_close_up: bool
    """True if its shot is a close-up of its view."""
    drawing: int
    drawings: int
    """Unique frames of the shot."""

    def rng(self, *about: object) -> Random:
        """Return a generator that depends on the seed and these values alone."""
        return Random(f"{self.seed} {about}")


Effect = Callable[[Array, EffectContext], Array]
"""Change a picture, [H, W, 3] uint8 RGB, perhaps in place."""


def dim(picture: Array, at: EffectContext) -> Array:
    """Darken the set and add sensor noise."""
    level = at.rng("level").uniform(0.22, 0.4)
    noise = np.random.default_rng(abs(hash_of(at))).normal(4, 3.5, picture.shape)
    return np.clip(picture * level + noise, 0, 255).astype(np.uint8)


def talking(picture: Array, at: EffectContext) -> Array:
    """Move a mouth, and nothing else."""
    height, width = picture.shape[:2]
    rng = at.rng("mouth", at.shot)
    middle = round(width * rng.uniform(0.3, 0.7)), round(height * rng.uniform(0.3, 0.6))
    wide = at.rng(at.shot, at.drawing).choice((1, 3, 5, 7))
    cv2.ellipse(picture, middle, (8, wide), 0, 0, 360, (40, 20, 20), -1)
    return picture


def entering(picture: Array, at: EffectContext) -> Array:
    """Let a figure close to the camera enter within two drawings, and leave again."""
    height, width = picture.shape[:2]
    rng = at.rng("who", at.shot)
    begins, stays = rng.randint(2, max(3, at.drawings // 3)), rng.randint(4, 10)
    side, share = rng.choice((-1, 1)), rng.uniform(0.35, 0.6)
    home = rng.uniform(0.35, 0.65)
    figure = _figure(round(share * width), round(rng.uniform(0.75, 1) * height), rng)
    before = at.drawing - begins
    if not 0 <= before < stays + 2:
        return picture
    steps = min((before + 1) / 2, 1.0, (stays + 2 - before) / 2)
    x = home + side * (1 - steps) * (0.5 + share / 2) + at.rng(at.shot, at.drawing).gauss(0, 0.01)
    return _pasted(picture, figure, round(x * width - figure.shape[1] / 2))


def close_up(picture: Array, at: EffectContext) -> Array:
    """Zoom into half of the view, always the same half of one view."""
    return _zoomed(picture, at.rng("near", at.view)) if at.is_close_up else picture


def pumping(picture: Array, at: EffectContext) -> Array:
    """Vary exposure and white balance in waves and jumps, as automatic cameras do."""
    rng = at.rng("pump", at.shot)
    wave = 0.28 * sin(tau * (at.drawing / rng.uniform(6, 14) + rng.random()))
    jump = 0.3 if rng.randint(1, max(2, at.drawings - 1)) <= at.drawing else 0.0
    cast = np.array([rng.uniform(-0.1, 0.1) * wave * 4 for _ in range(3)])
    return np.clip(picture * (0.85 + wave + jump + cast), 0, 255).astype(np.uint8)


def focus_pull(picture: Array, at: EffectContext) -> Array:
    """Pull the focus: in, out, or through."""
    share = at.drawing / max(1, at.drawings - 1)
    way = at.rng("focus", at.shot).choice((1 - share, share, abs(2 * share - 1)))
    strength = 6.0 * max(0.0, 1.6 * way - 0.6)
    return cv2.GaussianBlur(picture, (0, 0), strength) if strength > 0.3 else picture


def subtitled(picture: Array, at: EffectContext) -> Array:
    """Add letterbox bars and changing subtitles."""
    height, width = picture.shape[:2]
    bar = height // 9
    picture[:bar], picture[-bar:] = 0, 0
    line = at.rng("line", at.shot, at.drawing // 9)
    if line.random() < 0.6:
        words = "".join(line.choice("etaoin shrdlu") for _ in range(line.randint(14, 26)))
        place = (width // 8, height - bar - 8)
        for colour, thick in (((0, 0, 0), 4), ((255, 255, 255), 2)):
            cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.8, colour, thick)
    return picture


def shooting(picture: Array, at: EffectContext) -> Array:
    """Add muzzle flashes and explosions: light over part of the frame for a drawing or two."""
    height, width = picture.shape[:2]
    for age in (0, 1):
        rng = at.rng("shot", at.shot, at.drawing - age)
        if rng.random() < 0.12:
            radius = width * rng.uniform(0.15, 0.6) * (1 - 0.4 * age)
            x, y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height
            across, down = np.arange(width) - x, np.arange(height)[:, None] - y
            glow = np.exp(-((across**2 + down**2) / radius**2))[..., None]
            light = glow * np.array([255, 230, rng.uniform(60, 200)]) * 1.3
            picture = np.clip(picture + light, 0, 255).astype(np.uint8)
    return picture


def chase(picture: Array, at: EffectContext) -> Array:
    """Move the backdrop past a figure that stays: a ride."""
    rng = at.rng("ride", at.shot)
    step = round(picture.shape[1] * rng.uniform(0.06, 0.2)) * rng.choice((-1, 1))
    endless = np.concatenate([picture, picture[:, ::-1]], axis=1)
    moved = np.roll(endless, step * at.drawing, axis=1)[:, : picture.shape[1]].copy()
    height, width = picture.shape[:2]
    figure = _figure(round(0.3 * width), round(0.5 * height), rng)
    bounce = at.rng(at.shot, at.drawing).gauss(0, 0.01)
    return _pasted(moved, figure, round((0.35 + bounce) * width))


def bumped(picture: Array, at: EffectContext) -> Array:
    """Knock the tripod: the view shifts and rolls, and stays so."""
    height, width = picture.shape[:2]
    knocks = [n for n in range(at.drawing + 1) if at.rng("knock", at.shot, n).random() < 0.15]
    if not knocks:
        return picture
    rng = at.rng("where", at.shot, knocks[-1])
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-3, 3), 1.08)
    matrix[:, 2] += rng.uniform(-0.07, 0.07) * width, rng.uniform(-0.07, 0.07) * height
    moved: Array = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return moved


def flickering(picture: Array, at: EffectContext) -> Array:
    """Vary the exposure of each drawing: the sun, a lamp, the iris."""
    return np.clip(picture * at.rng("lamp", at.shot, at.drawing).gauss(1, 0.08), 0, 255).astype(
        np.uint8
    )


def nudged(picture: Array, at: EffectContext) -> Array:
    """Nudge the camera now and then by a hundredth of the frame."""
    height, width = picture.shape[:2]
    touched = [n for n in range(at.drawing + 1) if at.rng("touch", at.shot, n).random() < 0.2]
    rng = at.rng("to", at.shot, *touched[-1:])
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.gauss(0, 0.4), 1.03)
    matrix[:, 2] += rng.gauss(0, 0.012) * width, rng.gauss(0, 0.012) * height
    moved: Array = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return moved


def reached_into(picture: Array, at: EffectContext) -> Array:
    """Leave the animator's hand in the frame for a drawing or two."""
    height, width = picture.shape[:2]
    for age in (0, 1):
        rng = at.rng("hand", at.shot, at.drawing - age)
        if rng.random() < 0.07:
            side, y = rng.choice((0, width)), rng.uniform(0.3, 0.8) * height
            tip = abs(side - width * rng.uniform(0.3, 0.6)), y + rng.gauss(0, 0.15) * height
            skin = np.zeros_like(picture)
            ends = (int(side), int(y)), (int(tip[0]), int(tip[1]))
            cv2.line(skin, *ends, (1, 1, 1), int(height * rng.uniform(0.2, 0.4)))
            tone = np.array([200, 150, 120]) * rng.uniform(0.5, 1.1)
            soft = cv2.GaussianBlur(skin.astype(np.float32), (0, 0), 3)
            picture = (picture * (1 - soft) + soft * tone).astype(np.uint8)
    return picture


def hash_of(at: EffectContext) -> int:
    """Return a seed for NumPy."""
    return Random(f"{at.seed} {at.shot} {at.drawing}").getrandbits(32)


def _zoomed(picture: Array, rng: Random) -> Array:
    height, width = picture.shape[:2]
    share = 1 / rng.uniform(1.7, 2.4)
    high, wide = round(height * share), round(width * share)
    top = round((height - high) * rng.uniform(0.3, 0.8))
    left = round((width - wide) * rng.uniform(0.15, 0.85))
    part = picture[top : top + high, left : left + wide]
    near: Array = cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC)
    return near


def _figure(width: int, height: int, rng: Random) -> Array:
    """Draw a brick figure, [height, width, 4]: parts in plain colours with prints."""
    figure = np.zeros((height, width, 4), np.uint8)
    parts = (0.3, 0.7, 0.0, 0.22), (0.1, 0.9, 0.24, 0.64), (0.2, 0.8, 0.66, 1.0)
    for left, right, top, bottom in parts:
        x, y = (
            (round(left * width), round(right * width)),
            (round(top * height), round(bottom * height)),
        )
        figure[y[0] : y[1], x[0] : x[1]] = [*(rng.randrange(30, 230) for _ in range(3)), 255]
        for _ in range(5):
            place = rng.randint(*x), rng.randint(*y)
            ink = [rng.randrange(256) for _ in range(3)] + [255]
            cv2.circle(figure, place, max(2, width // 25), ink, -1)
    blurred: Array = cv2.GaussianBlur(figure, (0, 0), 1.2)
    return blurred


def _pasted(picture: Array, figure: Array, left: int) -> Array:
    """Paste a figure over a picture, standing on its lower edge."""
    width = picture.shape[1]
    a, b = max(0, left), min(width, left + figure.shape[1])
    if b <= a:
        return picture
    part = figure[:, a - left : b - left].astype(np.float32)
    cover = part[..., 3:] / 255
    below = picture[-figure.shape[0] :, a:b]
    below[:] = (below * (1 - cover) + part[..., :3] * cover).astype(np.uint8)
    return picture
