"""Render the demo film into `brickfilm/demo/` again."""

from brickfilm.demo import DEMO_VIDEO
from tests.brickworld.demo import render_demo

render_demo(DEMO_VIDEO)
