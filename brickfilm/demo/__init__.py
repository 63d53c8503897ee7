"""Provide the demo video and its captions: the input of `brickfilm demo`."""

from brickfilm.demo.demo_film import DEMO_LICENCE, DEMO_VIDEO, copy_demo_film

__all__ = ["DEMO_LICENCE", "DEMO_VIDEO", "copy_demo_film"]
