"""Scene cut detection: by the difference of neighbouring frames, or by PySceneDetect.

Both see every frame once, in the single pass that decodes the film. The plain difference looks at
some hundred points of brightness and costs next to nothing; it takes a flash for two cuts.
PySceneDetect also compares colours and was tried on many films; it costs a small conversion of
every frame, and needs the extra `scale`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int64

from omni_lab.errors import UsageError

if TYPE_CHECKING:
    import av

SMALLEST = 6.0  # change (of 255) that can be a cut
BESIDE = 12  # frames before and after that a cut is compared with
TIMES = 3  # their mean change, times this, is the least that a cut has


class ContentDetector:
    """Adaptive scene cut detection by PySceneDetect: hue, saturation, brightness of all frames.

    Raises
    ------
    UsageError
        PySceneDetect is not installed
    """

    WIDTH, HEIGHT = 128, 72  # pixels of the frames it sees: a mean over the picture needs no more

    def __init__(self):
        from av.video.reformatter import VideoReformatter

        try:
            import scenedetect
        except ImportError:
            need = "triplets.scenes = 'pyscenedetect' needs PySceneDetect: "
            raise UsageError(need + "pip install 'omni_lab[scale]'") from None
        self._timecode = scenedetect.FrameTimecode
        self._detector = scenedetect.AdaptiveDetector()
        self._reformatter = VideoReformatter()
        self._times: list[int] = []
        self._found: list[int] = []

    def add(self, frame: av.VideoFrame, time: int) -> None:
        """Take the next frame; `time` in ticks, after every time before."""
        small = self._reformatter.reformat(
            frame, self.WIDTH, self.HEIGHT, format="bgr24", interpolation="AREA", threads=1
        )
        # The detector counts frames; the rate is never used.
        number = self._timecode(len(self._times), fps=25.0)
        self._times.append(time)
        for cut in self._detector.process_frame(number, small.to_ndarray()):
            self._found.append(self._times[cut.frame_num])

    def changes(self) -> Int64[np.ndarray, " scenes"]:
        """Scene cuts: the tick of the first frame of each new scene."""
        return np.array(self._found, dtype=np.int64)


def scene_changes(
    times: Int64[np.ndarray, " frames"], changes: Float[np.ndarray, " frames"]
) -> Int64[np.ndarray, " scenes"]:
    """Scene cuts by frame difference: changes that are large, and large beside their neighbours.

    Comparing with the neighbourhood (as PySceneDetect's adaptive detector does) rejects pans and
    flicker.

    Parameters
    ----------
    times : ticks of every frame
    changes : mean absolute change of each frame since the one before, 0 to 255

    Returns
    -------
    tick of the first frame of each new scene

    >>> scene_changes(np.arange(6) * 640, np.array([0.0, 1.0, 1.0, 40.0, 2.0, 1.0])).tolist()
    [1920]
    """
    found = []
    for i in np.flatnonzero(changes >= SMALLEST):
        around = np.r_[changes[max(0, i - BESIDE) : i], changes[i + 1 : i + 1 + BESIDE]]
        if around.size == 0 or changes[i] >= TIMES * around.mean():
            found.append(times[i])
    return np.array(found, dtype=np.int64)
