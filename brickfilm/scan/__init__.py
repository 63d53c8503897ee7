"""One reduced decode of a video, which detectors and measures share."""
