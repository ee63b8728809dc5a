"""The photos of the faces trial: portraits of people with several photos each, groups, and what packages carry.

People come from a folder of research data that is not part of the project (``ANTISCRAPE_SHARED``, in it ``faces/``); where
it is absent, two portraits in the public domain remain, which installed packages carry.
"""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageFilter, ImageOps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from loadtests.faces.recognisers import Found, Nets

    Points = NDArray[np.float64]

Box: TypeAlias = tuple[float, float, float, float]

#: Pixels of the side of a portrait: LFW's cuts have 250, a site's originals more.
PORTRAIT = 1000
#: Pixels of the long side of the largest photo that is tried, as sites reduce what they are sent.
LARGEST = 1600
#: Where the detector looks for a portrait's face, and for those of a group; pixels of the long side.
_LOOK_PORTRAIT, _LOOK_GROUP = 500, 1600
#: People in a group, the side in pixels of the place that each has, and how many pixels of the portrait stand there.
GROUP, _PLACE = 12, 400
_TILES = (400, 320, 250, 200, 160, 130)
#: A detector's score from which a face of a group photo counts as one.
_SURE = 0.2
#: Faces that no detector finds whole, as a person sees them: boxes in shares of width and height, by photo.
_OVERLOOKED: dict[str, tuple[Box, ...]] = {"Eliane_Karp_0001": ((-0.06, 0.15, 0.14, 0.62),)}
#: Of iBUG's 68 landmarks.
_CHIN, _BROWS = 8, slice(17, 27)
#: Photos without people or in the public domain that packages carry: package, path, name.
CARRIED = (
    ("skimage", "data/astronaut.png", "astronaut"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "Hopper"),
    ("skimage", "data/chelsea.png", "cat"),
    ("skimage", "data/coffee.png", "coffee"),
)


class Subject(NamedTuple):
    """One face in a photo: whose it is, and its 68 landmarks in pixels of the photo."""

    person: str
    points: Points

    def box(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the face with its forehead, whichever way up it is, in pixels."""
        up = self.points[_BROWS].mean(0) - self.points[_CHIN]
        up /= np.hypot(*up)
        side = np.array([-up[1], up[0]])
        width, height = np.ptp(self.points @ side), np.ptp(self.points @ up)
        shifts = [
            down * height * up + across * width * side for down in (0.45, -0.08) for across in (0.12, -0.12)
        ]
        outline = np.concatenate([self.points + shift for shift in shifts])
        (left, top), (right, bottom) = outline.min(0), outline.max(0)
        return float(left), float(top), float(right), float(bottom)


class Photo(NamedTuple):
    """An original and the faces in it."""

    name: str
    picture: Image.Image
    subjects: tuple[Subject, ...] = ()

    def encoded(self, *, quality: int = 90) -> bytes:
        """Return the photo as the JPEG that a site would hold."""
        out = io.BytesIO()
        self.picture.save(out, "JPEG", quality=quality)
        return out.getvalue()

    def hidden(self, size: tuple[int, int], others: Sequence[Box] = ()) -> NDArray[np.bool_]:
        """Return, at ``size``, the pixels of faces with hair and jaw: what a rendition may change as it likes.

        ``others`` are boxes of faces beside the subjects', in pixels of the photo; those that a detector overlooks
        come to them.
        """
        mask = np.zeros((size[1], size[0]), np.bool_)
        scale = np.array([size[0] / self.picture.width, size[1] / self.picture.height] * 2)
        rows, columns = np.mgrid[: size[1], : size[0]]
        whole = np.array([*self.picture.size] * 2)
        overlooked = [np.array(box) * whole for box in _OVERLOOKED.get(self.name, ())]
        for box in (*(subject.box() for subject in self.subjects), *others, *overlooked):
            left, top, right, bottom = np.array(box) * scale
            across, down = 0.95 * (right - left), 0.85 * (bottom - top)
            mask |= ((columns - (left + right) / 2) / across) ** 2 + (
                (rows - (top + bottom) / 2) / down
            ) ** 2 <= 1
        return mask

    def mirrored(self) -> Photo:
        """Return the photo as in a mirror; the landmarks keep their sides."""
        width = self.picture.width
        subjects = tuple(
            subject._replace(points=mirrored_points(subject.points, width)) for subject in self.subjects
        )
        return Photo(f"{self.name} mirrored", ImageOps.mirror(self.picture), subjects)

    def cropped(self, left: float, top: float, right: float, bottom: float) -> Photo:
        """Return the photo without these shares of its edges."""
        width, height = self.picture.size
        box = (
            round(left * width),
            round(top * height),
            round((1 - right) * width),
            round((1 - bottom) * height),
        )
        subjects = tuple(
            subject._replace(points=subject.points - np.array(box[:2])) for subject in self.subjects
        )
        return Photo(f"{self.name} cropped", self.picture.crop(box), subjects)

    def sized(self, long_side: int) -> Photo:
        """Return the photo reduced or enlarged to ``long_side`` pixels."""
        scale = long_side / max(self.picture.size)
        size = (max(1, round(self.picture.width * scale)), max(1, round(self.picture.height * scale)))
        factor = np.array([size[0] / self.picture.width, size[1] / self.picture.height])
        subjects = tuple(subject._replace(points=subject.points * factor) for subject in self.subjects)
        return Photo(self.name, self.picture.resize(size, Image.Resampling.LANCZOS), subjects)

    def turned(self, degrees: float) -> Photo:
        """Return the photo turned against the clock, on a canvas that holds all of it."""
        picture = self.picture.rotate(
            degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(128, 128, 128)
        )
        angle = np.radians(degrees)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        before, after = np.array(self.picture.size) / 2, np.array(picture.size) / 2
        subjects = tuple(
            subject._replace(points=(subject.points - before) @ turn.T + after) for subject in self.subjects
        )
        return Photo(f"{self.name} turned", picture, subjects)


#: Landmarks of iBUG's 68 in the order that their mirror images have: jaw, brows, nose, eyes, lips.
_MIRROR = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
)  # fmt: skip


def mirrored_points(points: Points, width: float) -> Points:
    """Return the landmarks of a face in the mirror of a picture of ``width`` pixels."""
    mirrored: Points = (np.array([width, 0.0]) + points * np.array([-1.0, 1.0]))[list(_MIRROR)]
    return mirrored


def portraits(faces: Path, nets: Nets, *, people: int) -> dict[str, list[Photo]]:
    """Return up to ``people`` people of whom two photos or more show a face that is found, by name."""
    found: dict[str, list[Photo]] = {}
    folders = sorted((faces / "azure").glob("az_*")) + sorted((faces / "lfw60").glob("*"))
    for folder in folders[:people]:
        photos = [portrait(path, folder.name, nets) for path in sorted(folder.glob("*.jpg"))]
        seen = [photo for photo in photos if photo is not None]
        if len(seen) > 1:
            found[folder.name] = seen
    return found


def portrait(path: Path, person: str, nets: Nets) -> Photo | None:
    """Return the photo in ``path`` with the face that is nearest to its middle, or ``None`` where none is found."""
    with Image.open(path) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    if max(picture.size) < PORTRAIT:
        picture = Photo("", picture).sized(PORTRAIT).picture
    elif max(picture.size) > LARGEST:
        picture = Photo("", picture).sized(LARGEST).picture
    found = nets.find(picture, look=_LOOK_PORTRAIT, keep=True)
    found = found or nets.find(picture, look=_LOOK_PORTRAIT, more=1, keep=True)
    if not found:
        return None
    middle = np.array(picture.size) / 2
    nearest = min(found, key=lambda face: float(np.abs(face.points.mean(0) - middle).sum()))
    return Photo(path.stem, picture, (Subject(person, nearest.points),))


def composed(photos: Sequence[Photo], *, columns: int = 4) -> list[Photo]:
    """Return groups of twelve portraits in ``columns``, each on a backdrop of its own; 4: faces of 3 to 9 % of 1600."""
    groups: list[Photo] = []
    for start in range(0, len(photos), GROUP):
        canvas = Image.new("RGB", (columns * _PLACE, GROUP // columns * _PLACE), (120, 120, 120))
        subjects: list[Subject] = []
        for place, photo in enumerate(photos[start : start + GROUP]):
            small = photo.sized(_TILES[(place + start) % len(_TILES)])
            left, top = place % columns * _PLACE, place // columns * _PLACE
            backdrop = small.picture.resize((_PLACE, _PLACE)).filter(ImageFilter.GaussianBlur(40))
            canvas.paste(backdrop, (left, top))
            left, top = left + (_PLACE - small.picture.width) // 2, top + (_PLACE - small.picture.height) // 2
            canvas.paste(small.picture, (left, top))
            subjects += [
                subject._replace(points=subject.points + np.array([left, top])) for subject in small.subjects
            ]
        groups.append(Photo(f"group {len(groups) + 1}", canvas, tuple(subjects)))
    return groups


def found_groups(faces: Path, nets: Nets) -> list[Photo]:
    """Return the group photos of the folder, each face in them its own person."""
    paths = sorted((faces / "azure" / "group").glob("*.jpg"))
    photos = []
    for path in paths:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        photos.append(with_faces(Photo(path.stem, picture).sized(LARGEST), nets))
    return [photo for photo in photos if photo.subjects]


def with_faces(photo: Photo, nets: Nets) -> Photo:
    """Return the photo with every face that the detector is sure of."""
    sure: list[Found] = [
        face for face in nets.find(photo.picture, look=_LOOK_GROUP, more=1, keep=True) if face.score >= _SURE
    ]
    subjects = (Subject(f"{photo.name}/{index}", face.points) for index, face in enumerate(sure))
    return photo._replace(subjects=tuple(subjects))


def carried() -> list[Photo]:
    """Return the photos that packages installed here carry; faces not yet found."""
    photos = []
    for package, path, name in CARRIED:
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            place = Path(folder) / path
            if place.is_file():
                with Image.open(place) as opened:
                    photos.append(Photo(name, opened.convert("RGB")).sized(PORTRAIT))
    return photos
