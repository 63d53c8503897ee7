"""The sections of the report, in the order of the page. To add one, add a file and a line here."""

from brickfilm.report.sections.base import Section, SectionBuilder
from brickfilm.report.sections.cadence import cadence
from brickfilm.report.sections.captions import captions
from brickfilm.report.sections.contact import contact_sheet
from brickfilm.report.sections.conversions import conversions
from brickfilm.report.sections.encodings import encodings
from brickfilm.report.sections.footage import footage
from brickfilm.report.sections.money import money
from brickfilm.report.sections.moved import moved_videos
from brickfilm.report.sections.scores import scores
from brickfilm.report.sections.settings import settings
from brickfilm.report.sections.shots import shots
from brickfilm.report.sections.stages import stages
from brickfilm.report.sections.thresholds import thresholds
from brickfilm.report.sections.training import training
from brickfilm.report.sections.unfinished import lost_footage, unfinished
from brickfilm.report.sections.videos import timelines

SECTIONS: tuple[SectionBuilder, ...] = (
    unfinished,
    lost_footage,
    contact_sheet,
    timelines,
    footage,
    stages,
    captions,
    training,
    shots,
    cadence,
    scores,
    thresholds,
    conversions,
    encodings,
    moved_videos,
    money,
    settings,
)
"""The result first; trouble, if any, before it and in a few lines."""

__all__ = ["SECTIONS", "Section", "SectionBuilder"]
