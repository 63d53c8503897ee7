"""A dataset with the bytes of videos in a column, on the local Hub."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def push_embedded(videos: Iterable[bytes], split: str = "train", **columns: Sequence[str]) -> None:
    """Push `maker/set`: a row for each video, with further columns of texts."""
    from datasets import Dataset, Features, Value, Video

    features = Features({n: Value("string") for n in columns} | {"video": Video(decode=False)})
    cells = [{"bytes": body, "path": f"v{n}.mp4"} for n, body in enumerate(videos)]
    table = Dataset.from_dict({**columns, "video": cells}, features=features)
    table.push_to_hub("maker/set", split=split)
