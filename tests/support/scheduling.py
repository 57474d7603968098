"""Which tests stay together in one of the processes that `make test` runs side by side."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

from tests.support.server_kinds import EVERYWHERE

# In the order that they run in: long tests first, so that none begins when all others end.
FOLDERS = {"browser": 0, "chaos": 1, "integration": 1, "conformance": 2, "unit": 3}
# They take long and share nothing: each of their tests goes where there is room.
SPREAD = (
    "test_cli.py", "test_export.py", "test_extraction_hostile.py", "test_few_rights.py",
    "test_liveness.py", "test_replacing_workers.py", "test_robots.py", "test_supervisor_memory.py",
    "test_supervisor_process.py", "test_supervisor_service.py", "test_worker.py",
)  # fmt: skip


def folder_of(nodeid: str) -> str:
    return nodeid.split("/")[1]


def group_of(nodeid: str) -> str:
    """What a test shares its browser, its servers or its worker with: a folder, a kind of server,
    a file; or the test alone."""
    file, _, name = nodeid.partition("::")
    folder = folder_of(nodeid)
    if folder == "browser":
        return folder
    if folder == "conformance":
        return next((kind for kind in EVERYWHERE[1:] if kind in name.partition("[")[2]), file)
    return nodeid if file.endswith(SPREAD) else file


class Together(LoadScopeScheduling):
    """`--dist loadscope` by these groups."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
