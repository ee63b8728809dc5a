"""A story in words, for a terminal: plain text of 100 columns, nothing of a client's unescaped."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Final

from antiscrape.core.verdict import Action, Rendition, Standing
from antiscrape.operate.moment import DATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from antiscrape.operate.explain import Change, Ruling, Sign, Step, Story

WIDTH: Final = 100
_TARGET: Final = 40
_INDENT: Final = 10

_ACTIONS: Final = {
    "admit": "The request is admitted.",
    "limit": "The request is answered 429: too many requests.",
    "refuse": "The request is answered 403.",
}
_STANDINGS: Final = {
    "banned": "too much speaks against it",
    "bot": "a program, or taken for one",
    "unknown": "too much speaks against a browser, too little for a bot",
    "browser": "looks like a browser in every way that can be seen, and has proven nothing",
    "proven": "a browser that has done the check",
    "member": "signed in to the site",
    "crawler": "a crawler that is who it says",
    "partner": "a partner of the operator's, with a budget of its own",
}
_RENDITIONS: Final = {
    Rendition.ORIGINAL.value: "the original",
    Rendition.MARKED.value: "the full-size picture with a visible mark",
    Rendition.PREVIEW.value: "a preview, with nothing of a face left",
    Rendition.DECOY.value: "a synthetic picture",
    Rendition.REFUSED.value: "nothing",
}
_KINDS: Final = {
    "image": "an image",
    "page": "a page",
    "subject": "a page that belongs to one subject",
    "api": "an API answer",
    "asset": "what a page is drawn with",
    "trap": "a trap: nobody who sees the page goes there",
    "exempt": "exempt: never judged",
    "untold": "untold: the Content-Type of the answer will say",
}
_WORTHLESS: Final = frozenset({"none", "expired", "foreign", "forged"})
_GRANTS: Final = {
    "unasked": "none asked for here",
    "none": "none came",
    "valid": "valid",
    "expired": "expired: it was valid once",
    "foreign": "valid for somebody else",
    "forged": "not one that this site's secret made for this URL",
}


def shown(text: str) -> str:
    """Return ``text`` with every character escaped that a terminal might obey or hide (SECURITY J5)."""
    return "".join([char if char.isprintable() else char.encode("unicode_escape").decode() for char in text])


def step_lines(number: int, step: Step) -> Iterator[str]:
    """Yield one request of several: a line of at most ``WIDTH`` columns, and another where signals are new."""
    time = f"{step.time:.2f}" if step.time >= DATES else f"{step.time:.1f}s"
    target = shown(f"{step.method} {step.target}")
    target = target if len(target) <= _TARGET else target[: _TARGET - 3] + "..."
    head = f"{number:>4} {time:>10}  {target:<{_TARGET}}  "
    if step.verdict is None:
        yield (head + f"malformed: {shown(step.malformed)}")[:WIDTH]
        return
    verdict = step.verdict
    got = verdict.rendition.value if verdict.action is Action.ADMIT else verdict.action.value
    line = f"{head}{step.kind:<7}  {verdict.standing.value:<7} {verdict.score:>4}  {got:<8}"
    if verdict.exceeded is not None:
        line += f"  {verdict.exceeded.budget.value} spent"
    yield line.rstrip()
    yield from wrap(
        f"+ {', '.join(step.news)}" if step.news else "",
        WIDTH,
        initial_indent=" " * 17,
        subsequent_indent=" " * 19,
    )


def story_lines(story: Story) -> Iterator[str]:
    """Yield the whole story of one request, paragraph by paragraph."""
    yield shown(f"{story.method} {story.scheme}://{story.host}{story.target}")[: 4 * WIDTH]
    yield ""
    if story.malformed:
        yield from _paragraph("verdict", f"Refused with 400, unjudged: {story.malformed}.")
        return
    yield from _verdict(story)
    yield from _who_and_what(story)
    yield from _signals(story.signals)
    yield from _grant(story)
    yield from _budgets(story)
    yield from _image(story)
    yield from _changes(story)


def _paragraph(title: str, *texts: str) -> Iterator[str]:
    """Yield texts, each on lines of its own, with the title beside the first."""
    for text in texts:
        for line in wrap(shown(text), WIDTH - _INDENT, break_long_words=True, break_on_hyphens=False):
            yield f"{title:<{_INDENT}}{line}"
            title = ""


def _verdict(story: Story) -> Iterator[str]:
    ruling = story.verdict
    if ruling is None:
        return
    texts = [_ACTIONS[ruling.action]]
    if ruling.exceeded is not None:
        texts.append(_spent(ruling.exceeded))
    if story.mode == "off":
        texts.append("The site's mode is off: this is what would be, nothing is judged.")
    elif ruling.shadowed:
        texts.append(
            "The site's mode is shadow: this is recorded, and the client gets what the site answers."
        )
    yield from _paragraph("verdict", *texts)
    if story.what is None or story.what.kind != "exempt":
        yield from _paragraph("standing", f"{ruling.standing}: {_reason(ruling)}", _score(ruling))


def _reason(ruling: Ruling) -> str:
    if ruling.standing == Standing.BANNED.value and ruling.score < ruling.banned_at:
        return f"a ban of an earlier request runs for another {ruling.ban_left:.0f} s"
    if ruling.instead_of:
        return (
            f"lowered from {ruling.instead_of} for another {ruling.cooling_left:.0f} s, for it spent its request "
            "budget again and again"
        )
    return _STANDINGS[ruling.standing]


def _score(ruling: Ruling) -> str:
    ladder = f"unknown from {ruling.unknown_at}, bot from {ruling.bot_at}, banned from {ruling.banned_at}"
    return f"score {ruling.score} ({ladder})"


def _spent(spent: Mapping[str, object]) -> str:
    whose = "of the wider network" if spent["shared"] else "of this client"
    return f"The budget {whose} for {spent['budget']}, {spent['limit']}, is spent; room again in {spent['wait']:g} s."


def _who_and_what(story: Story) -> Iterator[str]:
    who, what = story.who, story.what
    if who is None or what is None:
        return
    line = f"with its household as {who.line}, " if who.line else ""
    counted = f"Counted as {who.counted_as}, {line}and with its neighbours as {who.rollup}."
    yield from _paragraph(
        "who", f"{who.address}: {who.found}.", counted, f"Its User-Agent says: {who.agent}."
    )
    texts = [f"{_KINDS[what.kind]}; " + (f"route {what.route}" if what.route else "no route names it")]
    if what.odd:
        texts.append("The path is spelled oddly, and an odd spelling never falls under a lenient route.")
    if what.kind == "image" and what.size != "untold":
        texts[0] += f", {'full size' if what.size == 'original' else what.size}"
    if what.subject:
        texts.append(f"subject {what.subject}")
    yield from _paragraph("what", *texts)


def _signals(signals: tuple[Sign, ...]) -> Iterator[str]:
    if not signals:
        yield from _paragraph("signals", "None: nothing speaks against it.")
    title = "signals"
    for sign in signals:
        weight = f"{sign.weight:>4}" if sign.weight else "   0"
        of = "" if sign.of == "request" else ", of the visit"
        yield f"{title:<{_INDENT}}{weight}  {sign.name} ({sign.family}{of})"
        title = ""
        for text in (sign.sentence, f"source: {sign.source}"):
            for line in wrap(text, WIDTH - _INDENT - 6):
                yield " " * (_INDENT + 6) + line


def _grant(story: Story) -> Iterator[str]:
    words = _GRANTS[story.grant]
    if story.grant in _WORTHLESS:
        words += "; what an image gets with it, [grants] says"
    yield from _paragraph("grant", words[0].upper() + words[1:] + ".")


def _budgets(story: Story) -> Iterator[str]:
    ration, ruling, what = story.budgets, story.verdict, story.what
    if ration is None or ruling is None or (what is not None and what.kind == "exempt"):
        return
    if ration.refuse:
        yield from _paragraph("budgets", f"None: whoever is {ruling.standing} is refused.")
        return
    title = "budgets"
    for name, text in (
        ("requests", ration.requests),
        ("originals", ration.originals),
        ("subjects", ration.subjects),
        ("bytes", ration.bytes),
    ):
        had = f"   ({ration.taken[name]} so far)" if ration.taken.get(name) else ""
        yield f"{title:<{_INDENT}}{name:<10} {text}{had}"
        title = ""
    if ruling.strikes:
        yield from _paragraph("", _strikes(ruling))
    yield from _paragraph(
        "", f"Within them an image is {ration.rendition}, beyond {ration.beyond}; requests beyond are 429."
    )


def _strikes(ruling: Ruling) -> str:
    times = "once" if ruling.strikes == 1 else f"{ruling.strikes} times"
    return f"It spent the request budget {times} lately; {ruling.strikes_at} times lower its standing for a while."


def _image(story: Story) -> Iterator[str]:
    image, ruling = story.image, story.verdict
    if image is None or ruling is None:
        return
    words = _RENDITIONS[image.rendition]
    if ruling.action != "admit":
        words = "nothing: the request itself is not admitted"
    if image.assumed:
        words += f" ({image.assumed})"
    yield from _paragraph("image", words[0].upper() + words[1:] + ".")


def _changes(story: Story) -> Iterator[str]:
    ruling = story.verdict
    texts = [_change(change) for change in story.changes]
    if ruling is not None and ruling.exceeded is not None:
        texts.append(f"Waiting {ruling.exceeded['wait']:g} s, for the spent budget.")
    if ruling is not None and ruling.instead_of:
        texts.append(f"Waiting {ruling.cooling_left:g} s, until it is {ruling.instead_of} again.")
    if story.grant in _WORTHLESS and story.image is not None:
        texts.append("A grant: the URL as a page of the site shows it, within its time.")
    yield from _paragraph("change", *(texts or ["Nothing has to: no threshold is reached."]))


def _change(change: Change) -> str:
    *most, last = change.without
    names = f"{', '.join(most)} and {last}" if most else last
    return f"Without {names} the score would be {change.score}, under {change.below}: {change.standing}."
