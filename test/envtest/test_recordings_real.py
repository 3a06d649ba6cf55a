"""The recorded responses are those of the real server that the tests of this folder use, or differ as described."""

from __future__ import annotations

import pytest

from conformance import recordings
from conformance.cases import groups
from conformance.compare import VERSIONS, version_differences
from conformance.runner import compare_recordings, control_plane, played_real
from support.kubernetes_binaries import BinariesNotFoundError, find_binaries

pytestmark = pytest.mark.envtest


async def test_the_recordings_are_up_to_date(tmp_path) -> None:
    try:
        binaries = find_binaries()
    except BinariesNotFoundError as error:
        pytest.skip(str(error))
    version = ".".join(str(part) for part in binaries.version)
    recorded = {recordings.version(group) for group in groups()}
    if recorded != {version} and not version_differences(version):
        pytest.skip(
            f"the recordings are of {', '.join(recorded)}, and this is {version}, whose differences are not"
            f" described in {VERSIONS}"
        )
    expected = {group.name: recordings.read(group) for group in groups()}
    async with control_plane(binaries, tmp_path) as plane:
        results = compare_recordings(expected, await played_real(groups(), plane), version)
    texts = [
        f"{result.group}/{name}\n    {difference}"
        for result in results
        for name, found in result.failures.items()
        for difference in found
    ]
    assert not texts, "\n".join(texts)
    assert not [text for result in results for text in result.unneeded]
