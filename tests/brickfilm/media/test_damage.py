from __future__ import annotations

import av

from brickfilm.media.damage import AFTER_LOSS, SUSPECT, mark_of, set_mark


def test_a_packet_keeps_its_mark_while_others_come_and_go() -> None:
    first, second, unmarked = (av.Packet(b"data") for _ in range(3))
    set_mark(first, SUSPECT)
    set_mark(second, SUSPECT)
    del first  # PyAV forgets the object of a freed packet, also for others that share it
    assert (mark_of(second), mark_of(unmarked)) == (SUSPECT, "")
    set_mark(second, AFTER_LOSS)
    assert mark_of(second) == AFTER_LOSS
