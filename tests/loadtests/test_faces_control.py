"""What tells people apart beside their faces, and figures of several galleries: the controls of the faces trial."""

from __future__ import annotations

from typing import Any

import pytest

from loadtests.faces import renditions
from loadtests.faces.__main__ import turned
from loadtests.faces.matching import Cell, summed
from loadtests.faces.metrics import Share
from loadtests.faces.photos import Photo, Subject
from tests.loadtests.heads import landmarks, scene


def test_what_detectors_overlook_is_hidden_too() -> None:
    """A head that the border cuts, in one photo of the research data; another of that size hides nothing there."""
    there = Photo("Eliane_Karp_0001", scene()).hidden((100, 100), ())
    assert there[40, 3]
    assert not there[40, 60]
    assert not Photo("another", scene()).hidden((100, 100), ()).any()


def test_without_a_face_the_control_tells_by_its_surroundings() -> None:
    """The face with forehead and ears is grey in it, whatever it was; what is around is as it was served."""
    photo = Photo("one", scene(), (Subject("somebody", landmarks()),))
    blank = next(one for one in renditions.variants() if one.blank)
    assert not blank.judged
    other = photo.picture.copy()
    left, top, right, bottom = (round(edge) for edge in photo.subjects[0].box())
    other.paste("red", (left, top, right, bottom))
    got, same = (renditions.sampled(blank, photo, picture).picture for picture in (photo.picture, other))
    assert got.tobytes() == same.tobytes()
    assert set(got.crop((left, top, right, bottom)).getcolors() or ()) == {
        ((right - left) * (bottom - top), (128, 128, 128))
    }
    assert got.crop((200, 0, 240, 160)).tobytes() == photo.picture.crop((200, 0, 240, 160)).tobytes()
    plain = renditions.variants(["preview"])[0]
    assert renditions.sampled(plain, photo, photo.picture).picture is photo.picture


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_the_forehead_is_where_it_is_whichever_way_up(degrees: int) -> None:
    """Or the control of turned photos would cover hair in its stead, and leave the forehead to be seen."""
    points = landmarks()
    points[17:27, 1] = points[:, 1].min()  # brows are above eyes
    photo = Photo("one", scene(), (Subject("somebody", points),))
    left, top, right, bottom = photo.subjects[0].box()
    assert top < points[:, 1].min() - 0.4 * (bottom - top) / 1.53
    width, height = photo.picture.size
    boxes = {
        90: (top, width - right, bottom, width - left),
        180: (width - right, height - bottom, width - left, height - top),
        270: (height - bottom, left, height - top, right),
    }
    assert photo.turned(degrees).subjects[0].box() == pytest.approx(boxes[degrees], abs=1.5)


def test_figures_of_several_galleries_are_one() -> None:
    """Each of another photo of each person, so that what chance does is seen for what it is."""
    people = {"a": ["a1", "a2", "a3"], "b": ["b1", "b2"]}
    again: Any = turned(people)  # type: ignore[arg-type]  # names stand for photos
    assert again == {"a": ["a2", "a3", "a1"], "b": ["b2", "b1"]}
    one, no = Share(1, 100), Share(0, 0)
    first = Cell("portraits", "preview", "unsharp", "dlib", one, one, one, no, judged=True)
    second = first._replace(rank=Share(4, 90), seen=one)
    other = second._replace(attack="median")
    assert summed([first, other, second]) == [
        first._replace(rank=Share(5, 190), match=Share(2, 200), apart=Share(2, 200), seen=one),
        other,
    ]
