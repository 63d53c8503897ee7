"""Animate figures and machines: from seconds to the matrices of their joints."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin

import numpy as np

from tests.brickworld.figure import Pose, limbs
from tests.brickworld.kinds import Array
from tests.brickworld.mesh import shift, turn_x, turn_y, turn_z

Act = Callable[[float], Array]
Spot = tuple[float, float, float]


def stand(at: Spot, facing: float, pose: Callable[[float], Pose], hop: float = 0.0) -> Act:
    """Act in place; `hop` is the height of jumps in studs."""

    def act(t: float) -> Array:
        up = hop * abs(sin(t * pi * 1.3))
        return limbs(pose(t), shift(at[0], at[1] + up, at[2]) @ turn_y(facing))

    return act


def walk(start: Spot, end: Spot, pace: float = 3.6, late: float = 0.0) -> Act:
    """Walk to and fro between two places, `pace` studs a second."""
    a, b = np.array(start), np.array(end)
    long = float(np.linalg.norm(b - a))
    heading = float(np.degrees(np.arctan2(b[0] - a[0], -(b[2] - a[2]))))

    def act(t: float) -> Array:
        gone = (t * pace + late) % (2 * long)
        back = gone > long
        place = a + (b - a) * ((2 * long - gone if back else gone) / long)
        swing = sin((t + late) * pace * 1.1)
        pose = Pose(
            left_leg=34 * swing,
            right_leg=-34 * swing,
            left_arm=10 - 32 * swing,
            right_arm=10 + 32 * swing,
            head=8 * sin(t * 1.7),
            lean=2.5 * swing,
        )
        up = 0.12 * abs(cos((t + late) * pace * 1.1))
        turn = heading + (180 if back else 0)
        return limbs(pose, shift(place[0], place[1] + up, place[2]) @ turn_y(turn))

    return act


def waving(t: float) -> Pose:
    """Greet with the right hand."""
    return Pose(
        right_arm=150 + 25 * sin(t * 7), left_arm=8, head=14 * sin(t * 1.9), lean=4 * sin(t * 3.1)
    )


def talking(t: float) -> Pose:
    """Speak with both hands and look about."""
    return Pose(
        right_arm=45 + 40 * sin(t * 3.3),
        left_arm=30 + 28 * sin(t * 2.3 + 1),
        head=28 * sin(t * 1.4),
        lean=3 * sin(t * 2.2),
    )


def cheering(t: float) -> Pose:
    """Throw up both arms."""
    return Pose(
        right_arm=120 + 50 * sin(t * 5), left_arm=120 - 50 * sin(t * 5 + 0.6), head=12 * sin(t * 4)
    )


def fighting(t: float) -> Pose:
    """Strike with the tool in the right hand."""
    swing = sin(t * 4.2)
    return Pose(
        right_arm=85 + 65 * swing,
        left_arm=40 - 20 * swing,
        left_leg=16 * swing,
        right_leg=-12 * swing,
        bow=8 * swing,
        head=-10 * swing,
    )


def working(t: float) -> Pose:
    """Bend and lift: digging, chopping, hauling."""
    swing = sin(t * 3.4)
    return Pose(right_arm=70 + 50 * swing, left_arm=60 + 40 * swing, bow=-6 + 12 * swing)


def trot(start: Spot, span: float, pace: float = 3.2) -> Act:
    """Walk on four legs (joints 1 to 4), `span` studs to the right and back."""

    def act(t: float) -> Array:
        gone = (t * pace) % (2 * span)
        x = start[0] + min(gone, 2 * span - gone)
        turn = turn_y(0 if gone < span else 180)
        body = shift(x, start[1] + 0.08 * abs(sin(t * 5)), start[2]) @ turn
        legs = []
        for hip, phase in ((-1.8, 0), (1.9, pi), (-1.8, pi), (1.9, 0)):
            swing = turn_z(28 * sin(t * 5 + phase))
            legs.append(body @ shift(hip, 1.5, 0) @ swing @ shift(-hip, -1.5, 0))
        return np.stack([body, *legs])

    return act


def sliding(at: Spot, speed: float, span: float, facing: float = 0.0, bob: float = 0.02) -> Act:
    """Drive or sail along x and come round again; a machine of one joint."""

    def act(t: float) -> Array:
        x = (at[0] + span / 2 + speed * t) % span - span / 2
        place = shift(x, at[1] + bob * sin(t * 9), at[2])
        return np.stack([place @ turn_y(facing)])

    return act


def floating(at: Spot, reach: float, facing: float = 0.0, rock: float = 4.0) -> Act:
    """Drift to and fro and rock, as a boat or an aircraft does."""

    def act(t: float) -> Array:
        place = shift(at[0] + reach * sin(t * 0.8), at[1] + 0.3 * sin(t * 2.1), at[2])
        return np.stack([place @ turn_y(facing) @ turn_z(rock * sin(t * 1.9))])

    return act


def turning(at: Spot, speed: float, axis: str = "y") -> Act:
    """Turn round an axis through `at`, `speed` degrees a second: cranes, radars, wheels."""
    turn = {"x": turn_x, "y": turn_y, "z": turn_z}[axis]

    def act(t: float) -> Array:
        return np.stack([shift(*at) @ turn(speed * t)])

    return act
