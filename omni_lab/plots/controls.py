"""Interactive figures in a notebook: a picture that is drawn anew whenever a control is moved.

`ipywidgets.interact` shows what is drawn in an Output widget. A client that executes a notebook
without a browser (nbconvert, nbmake) answers every output in it, on the channel on which it waits
for the end of the cell, and now and then misses that end: the run stalls until its time is over
(jupyter/nbclient, issue 312). An Image widget asks for no answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipywidgets import Image, Layout, ValueWidget, VBox

from omni_lab.errors import OmniLabError
from omni_lab.plots.style import Picture, notice, styled


def explore(draw: Callable[..., Picture], **controls: ValueWidget) -> VBox:
    """Controls above the picture that `draw` makes of their values, at first and after each change.

    Parameters
    ----------
    draw : takes the value of every control by its name; a typed error or a failed assertion of its
        is shown in the picture's place
    controls : ipywidgets with a value; one without a description is labelled with its name
    """
    # as large as any other picture of the notebook: a box would stretch it to the page
    image = Image(format="png", layout=Layout(align_self="flex-start", max_width="100%"))

    def redraw(_: Any = None) -> None:
        try:
            picture = draw(**{name: control.value for name, control in controls.items()})
        except (OmniLabError, AssertionError) as error:  # raised here it would end in a log
            picture = styled(notice)(str(error))
        image.value = picture.png

    for name, control in controls.items():
        control.description = control.description or name
        control.observe(redraw, names="value")
    redraw()
    return VBox([*controls.values(), image])
