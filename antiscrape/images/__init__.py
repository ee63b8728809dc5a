"""Lesser renditions of pictures: decoded within limits in processes of their own, reduced, marked, cached.

::

    renderer ─▶ cache ─▶ workers ══ frames ══▶ worker ─▶ decode ─▶ recipes ─▶ steps ─▶ writers
        └─▶ placeholder                        (a process that holds nothing worth stealing)

Only what stands right of the double line imports Pillow: the process that serves the site never
decodes a picture.
"""
