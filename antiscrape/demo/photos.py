"""The demo's photographs, cut from pictures that installed packages carry.

Nothing is downloaded and nothing is bundled: scikit-image, scikit-learn and matplotlib ship freely
licensed photographs in their wheels, and ``catalogue.toml`` says which cuts of them become the
site's photos. The packages are found, not imported; importing them takes seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image, ImageOps
from PIL import __version__ as pillow_version

from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Pixels of the long side of an original, and of the smaller sizes that pages use.
ORIGINAL = 1280
SIZES = (320, 640, 960)
#: Ids run on from here, as a site's database would hand them out.
FIRST_ID = 1001
_QUALITY = 88
_CATALOGUE = Path(__file__).with_name("catalogue.toml")
#: Raised when the way of making the files changes, so that an old cache is not taken for a new one.
_RECIPE = 1


class Source(NamedTuple):
    """One photograph as a package carries it, and whom to thank. ``licence_url`` and ``origin`` may be ``""``."""

    key: str
    package: str
    path: str
    title: str
    author: str
    licence: str
    stated_by: str
    licence_url: str = ""
    origin: str = ""

    def locate(self) -> Path | None:
        """Find the picture's file without importing its package; ``None`` where it is not installed."""
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            return None
        path = Path(next(iter(spec.submodule_search_locations)), self.path)
        return path if path.is_file() else None


class Photo(NamedTuple):
    """One photo of the site. ``width`` and ``height`` are the original's, in pixels."""

    id: int
    profile: str
    source: str
    title: str
    alt: str
    crop: tuple[float, float, float, float]
    flip: bool
    width: int = 0
    height: int = 0

    @property
    def filename(self) -> str:
        """Name the original's file."""
        return f"{self.id}.jpg"

    def sized(self, size: int) -> str:
        """Name the file whose long side has ``size`` pixels."""
        return f"{self.id}-{size}.jpg"


class Profile(NamedTuple):
    """Whom photos belong to: what antiscrape calls a subject."""

    name: str
    title: str
    about: str


@dataclass(frozen=True, slots=True)
class Library:
    """All photos, newest first, and the ``folder`` of their files; ``made`` is in seconds since the epoch."""

    folder: Path
    photos: tuple[Photo, ...]
    profiles: tuple[Profile, ...]
    sources: tuple[Source, ...]
    made: float
    by_id: dict[int, Photo] = field(init=False)

    def __post_init__(self) -> None:
        """Index the photos."""
        object.__setattr__(self, "by_id", {photo.id: photo for photo in self.photos})

    def of_profile(self, name: str) -> tuple[Photo, ...]:
        """Return the photos of one profile, newest first."""
        return tuple(photo for photo in self.photos if photo.profile == name)

    def source(self, key: str) -> Source:
        """Return the source that a photo was cut from."""
        return next(source for source in self.sources if source.key == key)

    def original(self, photo: Photo) -> Path:
        """Return the path of a photo's original."""
        return self.folder / photo.filename


def cache_folder() -> Path:
    """Return where made photos are kept between runs, as the XDG base directory specification has it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # "All paths set in these environment variables must be absolute"; a relative one is to be ignored.
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "antiscrape" / "demo"


def make_library(
    *, cache: Path | None = None, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Library:
    """Return the photos, making those that ``cache`` does not hold; ``progress`` is told (done, all).

    The folder appears under its final name only when it is complete, so a run that was broken off,
    or two at once, leave nothing half-made behind. Raise ``ConfigurationError`` where no package
    that carries photographs is installed.
    """
    root = cache or cache_folder()
    sources, profiles, photos = _read_catalogue()
    folder = root / f"photos-{_version(photos)}"
    if not (folder / "library.json").is_file():
        root.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix="photos-", suffix=".partial", dir=root))
        try:
            _make_all(photos, {source.key: source for source in sources}, draft, progress)
            _publish(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    made = json.loads((folder / "library.json").read_text())
    sized = tuple(
        photo._replace(width=w, height=h) for photo in photos for w, h in [made["sizes"][str(photo.id)]]
    )
    return Library(folder, sized, profiles, sources, float(made["made"]))


def _publish(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        if not (folder / "library.json").is_file():  # not another run that was quicker
            raise


def _version(photos: Iterable[Photo]) -> str:
    recipe = f"{_RECIPE} {ORIGINAL} {SIZES} {_QUALITY} {pillow_version} {[tuple(photo) for photo in photos]}"
    return sha256(recipe.encode()).hexdigest()[:12]


def _read_catalogue() -> tuple[tuple[Source, ...], tuple[Profile, ...], tuple[Photo, ...]]:
    """Return what the installed packages allow: all sources, profiles with photos, photos newest first."""
    data: dict[str, Any] = tomllib.loads(_CATALOGUE.read_text())
    sources = tuple(source for row in data["source"] if (source := Source(**row)).locate())
    if not sources:
        msg = "the demo's photographs come with other packages; install antiscrape[demo]"
        raise ConfigurationError(msg)
    held = {source.key for source in sources}
    columns = [
        [(profile["name"], row) for row in profile["photos"] if row["source"] in held]
        for profile in data["profile"]
    ]
    # One photo of each profile in turn, as if everybody posted now and then.
    rows = [cell for line in zip_longest(*columns) for cell in line if cell]
    photos = tuple(
        Photo(
            id=FIRST_ID + len(rows) - 1 - place,
            profile=name,
            source=row["source"],
            title=row["title"],
            alt=row["alt"],
            crop=tuple(row["crop"]),
            flip=row.get("flip", False),
        )
        for place, (name, row) in enumerate(rows)
    )
    shown = {photo.profile for photo in photos}
    profiles = tuple(
        Profile(row["name"], row["title"], row["about"]) for row in data["profile"] if row["name"] in shown
    )
    return sources, profiles, photos


def _make_all(
    photos: tuple[Photo, ...], sources: dict[str, Source], folder: Path, progress: Callable[[int, int], None]
) -> None:
    pictures = {key: _open(sources[key]) for key in {photo.source for photo in photos}}
    sizes: dict[str, tuple[int, int]] = {}
    progress(0, len(photos))
    # Pillow lets go of the interpreter's lock while it resizes and encodes, so threads are enough.
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        jobs = {pool.submit(_make, pictures[photo.source], photo, folder): photo for photo in photos}
        for done, job in enumerate(as_completed(jobs), start=1):
            sizes[str(jobs[job].id)] = job.result()
            progress(done, len(photos))
    made = {"made": time.time(), "sizes": sizes}
    (folder / "library.json").write_text(json.dumps(made, indent=1))


def _open(source: Source) -> Image.Image:
    path = source.locate()
    if path is None:
        msg = f"{source.package} no longer carries {source.path}"
        raise ConfigurationError(msg)
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _make(picture: Image.Image, photo: Photo, folder: Path) -> tuple[int, int]:
    """Write one photo in all its sizes; return the original's width and height."""
    left, top, right, bottom = photo.crop
    width, height = picture.size
    cut = picture.crop(
        (round(left * width), round(top * height), round(right * width), round(bottom * height))
    )
    if photo.flip:
        cut = ImageOps.mirror(cut)
    original = _scaled(cut, ORIGINAL)
    original.save(folder / photo.filename, "JPEG", quality=_QUALITY)
    for size in SIZES:
        # From the original, as a site would; reducing_gap keeps the filter cheap (Pillow, Image.resize).
        _scaled(original, size).save(folder / photo.sized(size), "JPEG", quality=_QUALITY)
    return original.size


def _scaled(picture: Image.Image, long_side: int) -> Image.Image:
    factor = long_side / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
