"""Exit codes of ``aimctl``. They are stable: scripts may depend on them.

    0    done; status and explain: every object asked about is Ready
    1    the command failed: no connection, no CRDs, or an unusable answer
    2    the call was wrong: an unknown flag, kind or value
    3    something is not Ready
    4    the named object does not exist
    5    a permission is missing, and there is no answer without it
    130  interrupted

If several apply, 3 takes precedence over 5: an object that is not Ready is certain, whatever else could not be read.
"""

from __future__ import annotations

__all__ = ["DONE", "FAILED", "FORBIDDEN", "NOT_FOUND", "NOT_READY", "USAGE"]

DONE, FAILED, USAGE, NOT_READY, NOT_FOUND, FORBIDDEN = range(6)
