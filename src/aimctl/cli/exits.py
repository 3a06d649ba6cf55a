"""What the exit code of ``aimctl`` says; scripts may rely on it.

    0    done; for questions: everything that was asked about is Ready
    1    it could not be done: no connection, no CRDs, an answer that makes no sense
    2    the call was wrong: an unknown flag, kind or value
    3    the answer is complete enough to say that something is not Ready
    4    what was named is not there
    5    a right is missing, and without it there is no answer
    130  interrupted

When several hold, 3 wins over 5: that something is not Ready is certain, whatever else could not be read.
"""

from __future__ import annotations

__all__ = ["DONE", "FAILED", "FORBIDDEN", "NOT_FOUND", "NOT_READY", "USAGE"]

DONE, FAILED, USAGE, NOT_READY, NOT_FOUND, FORBIDDEN = range(6)
