"""``python -m conformance``: compare the embedded server with the recordings, or record them.

Exit codes: 0 without failures, 1 with failures, 2 if a recording is out of date or a case is malformed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from conformance import recordings, runner
from conformance.cases import CaseError, groups
from conformance.page import PAGE, page
from conformance.recordings import RecordingError
from support.kubernetes_binaries import BinariesNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.compare import Comparison


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("groups", nargs="*", help="the groups to run (default: all)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--record", action="store_true", help="record the responses of a real server")
    mode.add_argument("--page", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--show-known", action="store_true", help="print the known differences too")
    options = parser.parse_args()
    try:
        chosen = [group for group in groups() if not options.groups or group.name in options.groups]
        if options.page:
            PAGE.write_text(page(chosen), encoding="utf-8")
            return 0
        if options.record:
            version = runner.record(chosen)
            if not options.groups:
                recordings.remove_others({group.name for group in chosen})
            cases = sum(len(group.cases) for group in chosen)
            print(f"recorded {cases} responses of Kubernetes {version} in {len(chosen)} groups")
            return 0
        start = time.perf_counter()
        if os.environ.get("CONFORMANCE_SERVER") == "real":
            results = runner.check_recordings(chosen)
        else:
            results = [runner.compare_embedded(group) for group in chosen]
        report(results, time.perf_counter() - start, show_known=options.show_known)
        return 0 if all(result.passed for result in results) else 1
    except (CaseError, RecordingError, BinariesNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2


def report(results: Sequence[Comparison], seconds: float, *, show_known: bool) -> None:
    """Print the differences, then the table."""
    for result in results:
        for name, found in result.failures.items():
            print(f"{result.group}/{name}")
            print("\n".join(f"    {difference}" for difference in found))
        for text in result.unneeded:
            print(f"no longer different: {text}")
        if show_known:
            for name, found in result.known.items():
                print(f"{result.group}/{name} (known)")
                print("\n".join(f"    {difference}" for difference in found))
    rows = [
        (
            each.group,
            each.cases,
            each.equal,
            len(each.known.keys() - each.failures.keys()),
            len(each.failures),
        )
        for each in results
    ]
    total = ("total", *(sum(row[column] for row in rows) for column in range(1, 5)))
    width = max(len(row[0]) for row in (*rows, total))
    print(f"{'group':{width}}  cases  equal  known  failed")
    for name, cases, equal, known, failed in (*rows, total):
        print(f"{name:{width}}  {cases:5}  {equal:5}  {known:5}  {failed:6}")
    print(f"{seconds:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
