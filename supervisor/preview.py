"""Runs `scraper.preview` in a process of its own: what is fetched and parsed there hurts nobody."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final, cast

import orjson

from scraper.jobs import Config, JobsError, JobSpec
from supervisor.environment import worker_environment
from supervisor.process import PROJECT_DIR, inherited_environment

# The process gives up by itself after 60 s, unless a page holds it up.
DEADLINE_S: Final = 75.0
_SHOWN_CHARS: Final = 300


class PreviewFailedError(JobsError):
    """Nothing can be shown of this site."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"there is no preview: {problem}")


async def run_preview(spec: JobSpec, config: Config) -> dict[str, Any]:
    """What the job would take of its site, see docs/jobs.md. Raises PreviewFailedError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scraper.preview",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, cwd=PROJECT_DIR, start_new_session=True,
        env={**inherited_environment(), **worker_environment(config, config.redis_url or "")},
    )  # fmt: skip
    try:
        async with asyncio.timeout(DEADLINE_S):
            output, errors = await process.communicate(spec.to_json().encode())
    except TimeoutError:
        raise PreviewFailedError(f"it took longer than {DEADLINE_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise PreviewFailedError(last[:_SHOWN_CHARS] or f"exit code {process.returncode}")
    return cast("dict[str, Any]", orjson.loads(output))
