"""Lesser renditions of pictures: decoded within limits in processes of their own, reduced, marked, cached.

::

    renderer ─▶ cache ─▶ drawer ─▶ workers ══ frames ══▶ worker ─▶ decode ─▶ recipes ─▶ steps ─▶ writers
        │        │         └─▶ shelf (a folder)             (a process that holds nothing worth stealing)
        │        └─ copies ─▶ workers ══ frames ══▶ worker ─▶ stamping ─▶ trace
        └─▶ placeholder                              (the trace's key, and nothing of a stranger's)

Only what stands right of the double lines imports Pillow: the process that serves the site never
decodes a picture.
"""
