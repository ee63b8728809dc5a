"""The doctor: looks at a running deployment from outside, asks it what it sees, and says in words what is wrong.

What is told apart nowhere else meets here: what the policy says, what the running process knows of a request
that came through the whole edge (``view``), and what the edge made of the answers (``edge``). Each check is one
function over a ``Patient`` (``patient``), and a row of the table in ``checks``.

A site tells of itself only to whoever holds its secret (``tokens``): to all others the doctor's path is one like
any other of the site.
"""
