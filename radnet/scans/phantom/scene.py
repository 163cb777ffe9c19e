"""What every painter of the phantom gets: the slice, the person, the tissues and the height."""

from dataclasses import dataclass

from radnet.scans.phantom.canvas import Canvas
from radnet.scans.phantom.person import Person
from radnet.scans.phantom.tissue import Tissue

SIDES = ((1.0, "left"), (-1.0, "right"))
"""Sign of x and name of either side of the body."""


@dataclass(frozen=True)
class Scene:
    """One slice of one scan.

    Attributes:
        canvas: Where to paint.
        person: Who is scanned.
        hu: Tissue values of the scan.
        z_mm: Height above the soles in the standard body.
        phase: Contrast phase, see `radnet.scans.phantom.tissue.PHASES`.
        arms_up: Whether the arms lie beside the head, not beside the trunk.
    """

    canvas: Canvas
    person: Person
    hu: Tissue
    z_mm: float
    phase: str
    arms_up: bool
