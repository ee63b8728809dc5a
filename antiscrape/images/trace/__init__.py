"""Invisible marks that name who took a picture and when: laid into its pixels, and found there again.

::

    embedding ─▶ code (a payload becomes a word) ─▶ pattern (a key draws where the word goes) ─▶ pixels
    words (what fits) ◀─ reading (chips) ◀─ geometry (what was done to the picture) ◀─ confined (a stranger's file)

Writing needs Pillow and nothing more; reading needs numpy too (the extra ``trace``), and is done at a desk:
:func:`antiscrape.images.trace.reading.read`.

This is leak tracing and no more. A mark survives what happens to pictures on their way: encoding, scaling,
cropping, small turns, screenshots, and the mean of two copies, which mostly names both takers. It does not survive
somebody who is after it: a small piece of a picture (150 pixels), a turn by ten degrees, a bent or redrawn picture,
the mean of many copies, a denoiser that was trained for it, or whoever has the original and takes the difference.
Whoever knows of the waves can cut them out of the spectrum; what is left is found where the size was kept. A mark
that is not found proves nothing.
"""

from antiscrape.images.trace.embedding import embed

__all__ = ["embed"]
