"""The checklist of runtime behaviour: 131 statements about client-go and controller-runtime, and what holds here.

Contract:
    * Every statement is applicable, or has an entry in ``NOT_APPLICABLE``. An applicable one has at least one test, whose
      docstring begins with ``Checklist N:``.
    * ``DECISIONS`` has the statements of which this library deviates on purpose, and what it does instead. The tests of
      such a statement prove what it does instead.
    * :func:`page` is the text of ``docs/checklist.md``. It depends on the statements and the docstrings only.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "checklist.md"

AREAS: dict[str, dict[int, str]] = {
    "Work queue": {
        1: "An item that was added once is returned once; after `done` the queue is empty.",
        2: "An item is never processed by two workers at once, whatever producers and consumers do.",
        3: "An item that is added while it is processed is returned once more, after `done`.",
        4: "An item that is added twice before `get` is returned once; the second add calls the hook for merges once.",
        5: "An item that is added twice while it is processed is returned once more, without a call of that hook.",
        6: "The length is the number of distinct queued items.",
        7: "After shutdown adds are ignored, and `get` ends when the queue is drained.",
        8: "A shutdown with drain waits for every item that is being processed.",
        9: "A shutdown without drain does not wait.",
        10: "A shutdown without drain ends a drain that is waiting.",
        11: "An item that was added while it was processed is processed again before a drain ends.",
        12: "The queue keeps no reference to an item that it returned.",
    },
    "Delays and rate limiters": {
        13: "A delayed item is not visible before its time, and is returned once.",
        14: "An item that is delayed twice is kept once, with the earlier time.",
        15: "A shorter delay that is added later is due first.",
        16: "Delayed items are returned in the order of their times.",
        17: "The exponential limiter doubles the delay for each failure of an item; `forget` resets it.",
        18: "The exponential limiter stays at its maximum after any number of failures.",
        19: "The fast-slow limiter gives a number of fast delays, then slow ones, until `forget`.",
        20: "The largest delay and count of several limiters apply; `forget` reaches all of them.",
        21: "A maximum limits the delay of a token bucket.",
        22: "`add_rate_limited` counts failures and `forget` resets them; a pending item stays pending.",
        23: "Metrics: depth, adds, waiting time since the first add, work time at `done`, and gauges for stuck work.",
        24: "No metric changes after shutdown.",
    },
    "Priorities": {
        25: "Higher priorities are returned first, and equal ones in the order of their arrival.",
        26: "Repeated adds keep the highest priority and the shortest delay.",
        27: "An item with a raised priority is queued behind the items that have this priority already.",
        28: "A returned item is not returned again before `done`, and is available right after it.",
        29: "An item that is added after it was returned is delivered after `done`.",
        30: "Items that are not due count neither in the length nor in the depth.",
        31: "A delayed item that is added again without a delay is ready at once, and counts once.",
        32: "An item of high priority that becomes due overtakes waiting items of low priority.",
        33: "Delayed items become ready in the order of their due times, also with a simulated clock.",
        34: "Each item of a rate-limited batch has its own delay.",
        35: "Shutdown ends a `get` that waits, and every later one.",
        36: "A shutdown at the moment when items are returned does not hang.",
        37: "Random producers and consumers: no item twice at once, the highest priority, no negative depth.",
        38: "Priorities beyond 25 different ones share one label, and the sums of the depths are correct.",
    },
    "Reflector": {
        39: "It lists, then watches from the version of the list; each event advances the version.",
        40: "After any error, the store equals the next list.",
        41: "A stop ends the loop and closes the watch, without an error.",
        42: "A watch event that is not an object of the kind is skipped, and the stream continues.",
        43: "An ERROR event ends the stream as an API error.",
        44: "A refused connection leads to back-off and a watch from the same version, without a list.",
        45: "A 429 for a watch leads to back-off and another watch, without a list.",
        46: "A 500 for a watch is retried without a list only within a configured time.",
        47: "The first list has version 0, later ones the last known version.",
        48: "A 410 for a list is followed at once by a list of the newest state; then the last version is used again.",
        49: "A version that is too large is handled like a 410, in all forms that servers have used.",
        50: "A list from a known version is not paged, unless the first one was, or a page size is set.",
        51: "Timeouts of watches are random between a minimum and twice that.",
        52: "An object that the server cannot read leads to a list that replaces the store, also without changes.",
        53: "The transform function applies to the objects of a streaming list as well.",
        54: "Lists and events in the form of a Table are refused.",
        55: "A periodic resync calls the store only if the store agrees that one is due.",
        56: "A streaming list is complete at the bookmark that marks its end, not at another one.",
        57: "Changes during a streaming list are part of it; the store is replaced once, and the stream continues.",
        58: "If streaming fails, the same attempt falls back to list and watch once; a 429 is retried instead.",
        59: "A stream that ends too early leaves nothing behind; one that ends later is an ordinary end of a watch.",
        60: "If the version of a streaming list is too old, the newest state is requested.",
    },
    "Store and informer": {
        61: "A list deletes every known object that it does not have, with its last state.",
        62: "A deletion is not delivered twice.",
        63: "The deletion of an object that was not delivered yet is an add, then a delete.",
        64: "Events of one object arrive in order, and none is merged.",
        65: "An informer is synced when the first list was delivered; an empty one is synced at once.",
        66: "Deletions during the first list do not prevent the sync.",
        67: "A resync skips objects with undelivered events.",
        68: "A resync of an unknown object does nothing.",
        69: "A consumer that waits for events is released when the informer ends.",
        70: "A batch has each object once; a broken item does not lose the others.",
        71: "A list replaces the store in one step; handlers then see deletes first.",
        72: "Of a write to the store that fails partly, handlers see what succeeded.",
        73: "The transform function applies to lists and updates, and not to deletes or resyncs.",
        74: "The version of the store follows adds, updates, deletes, lists and bookmarks.",
        75: "Indexes: several values for an object, empty values removed, updates move an object.",
        76: "An index that is added later covers existing objects.",
        77: "Each handler is resynced in its own period, and one without a period never.",
        78: "After an interruption every real change is delivered, and no update with an equal version.",
        79: "A handler that is added later gets an add for every object, and is synced after them.",
        80: "A removed handler gets no more events; removing it twice, or elsewhere, is harmless.",
        81: "A stopped informer accepts no handlers; removing one is not an error.",
        82: "Handlers can be added and removed during events without races, deadlocks or leaks.",
        83: "A handler that fails misses this event only, after a pause of one second; others are not affected.",
        84: "A hook receives the failures of lists and watches.",
        85: "A debug mode detects that a cached object was changed.",
        86: "Reads return copies by default.",
        87: "A read of an absent object is NotFound; an uncached namespace or `continue` is an error; limits apply.",
        88: "A read that waits for the sync can be cancelled.",
        89: "A removed informer stops; the next use of the kind creates one with current data.",
        90: "Selectors and namespaces have defaults with an order of precedence.",
    },
    "Controller": {
        91: "The start fails if a source fails, or does not sync in time; a cancelled start is not an error.",
        92: "A second start is an error; sources start once, also when warm-up and start are concurrent.",
        93: "An error requeues its request with back-off and affects no other request.",
        94: "A terminal error is counted and not retried.",
        95: "No reconcile starts before every source has delivered its initial objects.",
        96: "Back-off grows with consecutive errors, and only a result without an error resets it.",
        97: "A requeue is rate-limited; a requeue after a time is not, and resets the failures; an error precedes both.",
        98: "A request keeps its priority when it is requeued; a result can set another.",
        99: "A panic is recovered, counted and retried, unless recovery is disabled.",
        100: "The timeout metric counts only the controller's own time limit.",
        101: "Each outcome is counted once under its label, with one duration.",
        102: "A source that is added after the start begins at once; sources are not kept after the end.",
        103: "Requests of a channel are delivered, also those from before the start; closing the channel ends it.",
        104: "Predicates of one source must all pass; a missed deletion is an event with an unknown final state.",
        105: "Owners are matched by group and kind and once each; owners without a namespace have none in the request.",
        106: "Initial objects and resyncs have a low priority.",
        107: "A reconcile has a unique id that its code can read.",
        108: "A second controller of the same name is an error; no task exists before the start or after the end.",
    },
    "Leader election": {
        109: "A missing, free or expired lease is taken; taking it from another holder counts a transition.",
        110: "A lease of another holder is not taken before it was seen unchanged for its duration.",
        111: "A lease without a holder is taken at once.",
        112: "A renewal changes the renew time only.",
        113: "The holder renews with one write; after a failure it reads first.",
        114: "A release empties the holder, retries after conflicts, and does nothing to a lease of another holder.",
        115: "Invalid durations and missing names are refused.",
        116: "A lease is read and written without loss, and labels of others are kept.",
        117: "The health check fails only for a holder that has not renewed for too long.",
    },
    "Manager": {
        118: "Caches are synced before other parts start, also those of several clusters.",
        119: "Leader work ends before the lease is released; a process that never led never starts it.",
        120: "After a lost lease there is no grace time, and the manager fails.",
        121: "The grace time: a limit, none, or unlimited; exceeding it is an error; both errors are raised.",
        122: "The manager runs until everything has ended; one failure ends the rest.",
        123: "A part that is added late starts at once; after the end it is refused.",
        124: "Warm-up runs before leadership, and its errors end the manager.",
        125: "Servers serve their own paths only and stop with the manager; an address in use is an error.",
        126: "No task is left, however the manager ends.",
        127: "Elections use Leases with an identity and labels; the renew deadline limits each request.",
        128: "A failed check fails the whole and lists all; checks can be excluded and have paths of their own.",
        129: "A repeated Event becomes a series; a series whose Event is gone is created again; counts are correct.",
    },
    "Helpers": {
        130: "A finalizer is added to a live object, run and removed at its deletion, and kept if it fails.",
        131: "Create-or-update writes nothing if nothing changes, refuses another name, and ends at other errors.",
    },
}

DECISIONS: dict[int, str] = {
    25: "Waiting raises a priority: 30 s count as 100 points. With strict priorities, low ones may wait without limit.",
    42: "The stream ends and the kind is listed again, because the event may have reported a deletion.",
    47: "The first list requests the newest state, so that a new process does not act on a state that is older than what "
    "the former one has seen. Later lists are from the last known version.",
    50: "The first list requests the newest state, so its pages do not show whether the server has a watch cache. Later "
    "lists are never paged without a page size.",
    53: "There are no transform functions. The server leaves out what a metadata cache does not need, in streams as well.",
    56: "Another bookmark before the end shows that the server ignores the request, so the kind is listed in pages.",
    58: "Only what a list in pages can solve leads to one. Other errors, such as 503, are retried with back-off.",
    59: "After a clean end before the bookmark the kind is listed in pages instead of streamed again.",
    69: "Handlers are called, so nothing waits for events. What waits for the sync is released with an error.",
    70: "Changes are delivered one by one, several of one object too. Unreadable items are reported, and the others kept.",
    72: "A write to the store does not fail partly. An index function that fails leaves its object out of its index only.",
    73: "There are no transform functions. Own writes enter a metadata cache in the same form as watched objects.",
    77: "The period belongs to the informer, because one replay serves all its handlers.",
    83: "There is no pause: handlers run on the event loop, where a pause would delay all kinds.",
    84: "Failures are a metric and the state of readiness, with the text of the error, instead of a hook.",
    85: "Cached objects are immutable, so a change raises in production as well.",
    86: "Cached objects are immutable and shared, so reads do not copy.",
    87: "An absent object is None. Cached reads have neither limits nor pages.",
    88: "Reads do not wait. `wait_synced` does, and can be cancelled.",
    90: "A declaration's own namespaces precede the manager's default; all else is declared once, and differences are errors.",
    91: "There is no time limit for the sync unless one is set: a controller waits for its own sources, the others work.",
    99: "Programming errors, such as KeyError and TypeError, are counted as panics; Python has no panics.",
    103: "A channel merges equal requests instead of blocking its sender when it is full.",
    106: "There is one kind of queue, which has priorities.",
    108: "Names are unique in a manager, not in the process: each manager has its own metrics.",
    118: "The managers of several clusters do not wait for each other, so an unreachable cluster stops only itself.",
    125: "Addresses are bound at the start. Debug pages take the place of pprof.",
    130: "There is no registry of finalizers: pure functions change the body, and the reconciler decides the order.",
    131: "Server-side apply takes the place of an update, and `read_modify_write` that of a function that changes an object.",
}

NOT_APPLICABLE: dict[int, str] = {
    55: "The question exists because handlers of one informer may have different periods; here the informer has one.",
}

_LABEL = re.compile(r"(Checklist|Fault) (\d+): \S")
_FURTHER = re.compile(r"(?<=[.;] )(\d+): \S")
"""A second statement in one docstring."""

_HEADER = """\
# Behaviour checklist of the runtime

The library is modelled on client-go and controller-runtime. This page lists 131 statements about their behaviour, and the
tests that prove each for `aimctl.runtime`. Where the library deviates on purpose, the row says what it does instead, and
the tests prove that. `make checklist` generates the page from `test/support/checklist.py` and the docstrings of the tests.
"""


def statements() -> dict[int, str]:
    """All statements by number."""
    return {number: text for area in AREAS.values() for number, text in area.items()}


def labels(docstring: str) -> list[tuple[str, int]]:
    """The list and the numbers that a docstring begins with, such as ``("Checklist", 3)``."""
    label = _LABEL.match(docstring)
    if label is None:
        return []
    return [(label[1], int(number)) for number in (label[2], *_FURTHER.findall(docstring))]


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Names and docstrings of the tests in a file: functions of the module and of ``Test`` classes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    scopes = [tree.body, *(one.body for one in tree.body if isinstance(one, ast.ClassDef))]
    for body in scopes:
        for one in body:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test_"):
                yield one.name, ast.get_docstring(one) or ""


def labelled() -> dict[tuple[str, int], list[str]]:
    """The tests of each entry, as ``test/unit/test_x.py::test_name``. The tests are parsed, not run."""
    found: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for name, text in docstrings(path):
            for entry in labels(text):
                found[entry].append(f"{path.relative_to(TESTS.parent)}::{name}")
    return found


def page(tests: Mapping[tuple[str, int], Sequence[str]]) -> str:
    """The text of ``docs/checklist.md``."""
    lines = [_HEADER]
    for area, rows in AREAS.items():
        lines += [f"## {area}\n", "| no. | statement | here | tests |", "|---|---|---|---|"]
        for number, statement in rows.items():
            names = "<br>".join(f"`{test}`" for test in tests.get(("Checklist", number), ()))
            lines.append(f"| {number} | {statement} | {_here(number)} | {names} |")
        lines.append("")
    return "\n".join(lines)


def _here(number: int) -> str:
    if number in NOT_APPLICABLE:
        return f"Not applicable: {NOT_APPLICABLE[number]}"
    return DECISIONS.get(number, "")


if __name__ == "__main__":
    PAGE.write_text(page(labelled()), encoding="utf-8")
