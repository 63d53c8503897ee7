"""Copy whole groups of pictures (GOPs) of H.264, and join them with frames that were encoded anew.

Every piece begins with an IDR picture, where a decoder takes up the parameter sets that its slices
name. So the joined stream has those of all pieces, under different ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.bitstream import BitStreamFilterContext

from brickfilm.errors import MediaError
from brickfilm.media.color import ColorTags
from brickfilm.media.container import find_video_stream, media_errors, open_container
from brickfilm.media.packet_groups import (
    START_CODE,
    annex_b,
    changes_parameters,
    group_start_predicate,
    knows_groups,
)
from brickfilm.media.sound import Sound
from brickfilm.records import Span

SEEK_MARGIN_SECONDS = (0.0, 2.0, 10.0)
"""Seconds to seek before a span, in order, until a group begins at or before its start."""
MAX_PARAMETER_SET_ID = 31
"""Of a sequence parameter set (H.264, 7.4.2.1.1)."""
SEQUENCE_PARAMETER_SET = 7


NO_GROUP = "no closed group of pictures begins in it"


class NotCopyableError(MediaError):
    """No frame of a clip can be copied; the text says why, in a few words."""


class JoinedPacket(NamedTuple):
    """A packet of a joined stream."""

    position: int
    """Of its frame in the clip."""
    is_keyframe: bool
    data: bytes
    """NAL units in Annex B, without parameter sets."""


class StreamCopy:
    """The frames of a span that can be copied, read from the video's file.

    They begin with an IDR picture and end where a packet shows a frame behind the span, or refers
    to one.
    """

    def __init__(self, path: Path, span: Span) -> None:
        """Open a file and read the span's packets; raise MediaError, if only NotCopyableError."""
        self.path = path
        self.span = span
        with media_errors(f"{path.name!r} cannot be read"), ExitStack() as on_error:
            self.container = open_container(path)
            on_error.callback(self.container.close)
            self.stream = find_video_stream(self.container, path)
            if not knows_groups(self.stream):
                raise NotCopyableError("not H.264 in mp4, mov or mkv")
            self._seek_pts = self._find_start()
            self.pts = self._span_pts()
            """Timestamps of the clip's frames, rising."""
            self.frames = self._copied_frames()
            """Positions in the clip of the frames that are copied."""
            self.parameter_set_id = free_parameter_set_id(parameter_sets(self.stream))
            """An id for the parameter sets of frames that are encoded anew."""
            on_error.pop_all()

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def join(
        self,
        target: Path,
        encoded: Mapping[int, Path],
        colors: ColorTags,
        sound: Sound | None = None,
    ) -> bool:
        """Write the clip as mp4; return True if it has sound.

        encoded: files of the frames that are not copied, by the position of their first.
        colors: tags that the copied frames get, which the source may not name.
        """
        with (
            media_errors(f"{target.name!r} cannot be written"),
            av.open(
                str(target), "w", format="mp4", options={"movflags": "+faststart"}
            ) as container,
            ExitStack() as files,
        ):
            pieces = {at: files.enter_context(av.open(str(f))) for at, f in encoded.items()}
            stream = container.add_stream_from_template(self.stream)
            headers = _tagged_header(self.stream, stream, colors)
            own = [u for piece in pieces.values() for u in parameter_sets(piece.streams.video[0])]
            headers += b"".join(START_CODE + unit for unit in dict.fromkeys(own))
            stream.codec_context.extradata = headers
            stream.codec_context.time_base = stream.time_base = self.stream.time_base
            colors.write_to(stream.codec_context)
            sound_packets = sound.add_to(container) if sound else []
            packets = {at: _piece_packets(piece, at) for at, piece in pieces.items()}
            packets[self.frames.start] = self._copied_packets()
            in_order = chain.from_iterable(packets[at] for at in sorted(packets))
            for packet in [*sound_packets, *self._timed(list(in_order), stream)]:
                container.mux(packet)
        return bool(sound_packets)

    @property
    def size(self) -> tuple[int, int]:
        """Return the width and height of the copied frames."""
        return self.stream.codec_context.width, self.stream.codec_context.height

    def check_packets(self, target: Path) -> None:
        """Raise NotCopyableError unless the copied packets in a joined file are the source's."""
        with open_container(target) as container:
            stream = container.streams.video[0]
            packets = (annex_b(packet, stream) for packet in container.demux(stream) if packet.size)
            written = islice(packets, self.frames.start, self.frames.stop)
            for data, copied in zip(written, self._copied_packets(), strict=True):
                if data != copied.data:
                    raise NotCopyableError("packets that changed while they were copied")

    def _find_start(self) -> int:
        """Return a time from which seeking reaches a group that begins at or before the span."""
        for margin in SEEK_MARGIN_SECONDS:
            pts = self.span.start_pts - int(margin / self.stream.time_base)
            starts_group = group_start_predicate(self.stream)
            first = next(self._packets_from(pts), None)
            if first is not None and starts_group(first) and first.pts <= self.span.start_pts:
                return pts
        raise NotCopyableError(NO_GROUP)

    def _packets_from(self, pts: int) -> Iterator[Any]:
        """Yield packets in decoding order, up to the first that is decoded after the span."""
        self.container.seek(pts, stream=self.stream, backward=True)
        for packet in self.container.demux(self.stream):
            if not packet.size or (packet.dts is not None and packet.dts >= self.span.end_pts):
                return
            if packet.pts is None or packet.is_corrupt:
                raise NotCopyableError("packets without a timestamp, or damaged ones")
            yield packet

    def _span_pts(self) -> list[int]:
        start, end = self.span.start_pts, self.span.end_pts
        packets = self._packets_from(self._seek_pts)
        pts = sorted(packet.pts for packet in packets if start <= packet.pts < end)
        if len(pts) != self.span.frames or pts[0] != start or len(set(pts)) != len(pts):
            raise NotCopyableError("packets that are not its frames")
        return pts

    def _group_packets(self) -> Iterator[Any]:
        """Yield the packets from the first group that begins in the span on.

        They end before one that is shown after the span, and where parameters change.
        """
        starts_group, is_inside = group_start_predicate(self.stream), False
        for packet in self._packets_from(self._seek_pts):
            is_start = starts_group(packet) and packet.pts >= self.span.start_pts
            is_inside = is_inside or is_start
            if changes_parameters(packet, self.stream) or packet.pts >= self.span.end_pts:
                return
            if is_inside:
                yield packet

    def _copied_frames(self) -> range:
        """Return the most frames whose packets follow each other and that leave no gap."""
        pts = [packet.pts for packet in self._group_packets()]
        if not pts:
            raise NotCopyableError(NO_GROUP)
        start = self.pts.index(pts[0])
        latest = accumulate(pts, max)
        ends = [end for end, last in enumerate(latest, start + 1) if last == self.pts[end - 1]]
        return range(start, ends[-1])

    def _copied_packets(self) -> Iterator[JoinedPacket]:
        positions = {pts: n for n, pts in enumerate(self.pts)}
        for packet in islice(self._group_packets(), len(self.frames)):
            data = annex_b(packet, self.stream)
            yield JoinedPacket(positions[packet.pts], packet.is_keyframe, data)

    def _timed(self, joined: Sequence[JoinedPacket], stream: Any) -> Iterator[Any]:
        """Yield packets with timestamps from the clip's start, each decoded before it is shown."""
        ends = [*self.pts[1:], self.span.end_pts]
        shortest = min(end - start for start, end in zip(self.pts, ends, strict=True))
        delay = max(n - packet.position for n, packet in enumerate(joined))
        for n, (position, is_keyframe, data) in enumerate(joined):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, self.stream.time_base
            packet.is_keyframe = is_keyframe
            packet.pts = self.pts[position] - self.pts[0]
            late = n - delay
            packet.dts = self.pts[late] - self.pts[0] if late >= 0 else late * shortest
            packet.duration = ends[position] - self.pts[position]
            yield packet


def _piece_packets(piece: Any, start: int) -> Iterator[JoinedPacket]:
    """Yield the packets of a file whose first frame has the position `start` in the clip."""
    stream = piece.streams.video[0]
    packets = [packet for packet in piece.demux(stream) if packet.size]
    order = {pts: n for n, pts in enumerate(sorted(p.pts for p in packets), start)}
    for packet in packets:
        yield JoinedPacket(order[packet.pts], packet.is_keyframe, annex_b(packet, stream))


def parameter_sets(stream: Any) -> list[bytes]:
    """Return the sequence and the picture parameter sets of a header (ISO 14496-15, avcC)."""
    header, offset = stream.codec_context.extradata, 5
    units: list[bytes] = []
    for count_mask in (0b11111, 0b1111_1111):
        count, offset = header[offset] & count_mask, offset + 1
        for _ in range(count):
            start = offset + 2
            offset = start + int.from_bytes(header[offset:start])
            units.append(header[start:offset])
    return units


def free_parameter_set_id(units: Iterable[bytes]) -> int:
    """Return the lowest id from 1 on that no parameter set has."""
    used = {_first_number(u[4:8] if u[0] & 31 == SEQUENCE_PARAMETER_SET else u[1:5]) for u in units}
    free = set(range(1, MAX_PARAMETER_SET_ID + 1)) - used
    if not free:
        raise NotCopyableError("parameter sets with all ids")
    return min(free)


def _first_number(data: bytes) -> int:
    """Return the Exp-Golomb number that data begins with (H.264, 9.1)."""
    bits = f"{int.from_bytes(data):0{8 * len(data)}b}"
    zeros = bits.index("1")
    return int(bits[zeros : 2 * zeros + 1], 2) - 1


def _tagged_header(source: Any, target: Any, colors: ColorTags) -> bytes:
    """Return the source's parameter sets in Annex B, with colour tags; `target` gets its header."""
    values = {
        "colour_primaries": colors.primaries,
        "transfer_characteristics": colors.transfer,
        "matrix_coefficients": colors.matrix,
        "video_full_range_flag": int(colors.is_full_range),
    }
    options = ":".join(f"{name}={value}" for name, value in values.items())
    BitStreamFilterContext(f"h264_metadata={options}", source, target)
    return bytes(target.codec_context.extradata)
