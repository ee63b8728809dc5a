"""Invisible marks that name who took a picture and when: laid into its pixels, and found there again.

::

    embed ─▶ code (a payload becomes a word) ─▶ pattern (a key draws where the word goes) ─▶ pixels
    read  ◀─ decode (words)  ◀─  read (chips)  ◀─  geometry (what was done to the picture)  ◀─ pixels

Writing needs Pillow; reading needs numpy too (the extra ``trace``), and is done at a desk.

This is leak tracing and no more. A mark survives what happens to pictures on their way: encoding, scaling,
cropping, small turns, screenshots, and the mean of two copies, which names both takers. It does not survive
somebody who is after it: a face cut out at 150 pixels, a turn by ten degrees, a bent or redrawn picture, the mean
of very many copies, a denoiser that was trained for it, or whoever compares copies of one picture of which one is
unmarked. A mark that is not found proves nothing.
"""
