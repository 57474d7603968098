"""Says why a URL was or was not fetched by a job."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from scraper.jobs import JobQueue, JobSpec, JobView, PageState
from scraper.jobs.reading import StoredPage, Suspect
from scraper.scope import InvalidUrlError, canonical_url, host_key, scope_of, suspect

STATE_WORDS = {
    PageState.QUEUED: "waits in the frontier",
    PageState.DELAYED: "is to be tried again",
    PageState.LEASED: "is being fetched",
    PageState.DONE: "is recorded",
    PageState.FAILED: "failed",
    PageState.SKIPPED: "was skipped",
    PageState.ALIAS: "is another name of a recorded page",
}
OPEN_STATES = (PageState.QUEUED, PageState.DELAYED, PageState.LEASED)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a URL was or was not fetched. `verdict` is a page state's name or a filter's reason.

    `place` is the number of pages before it in its queue, None when it does not wait.
    """

    url: str
    verdict: str
    found_on: str | None
    attempts: int
    note: str
    place: int | None
    sentence: str

    def to_json(self) -> dict[str, Any]:
        shown = asdict(self)
        shown["foundOn"] = shown.pop("found_on")
        return shown


async def explain_url(queue: JobQueue, job_id: str, url: str) -> Explanation:
    """Explain one URL of a job. Raises JobNotFoundError."""
    job = await queue.job(job_id)
    try:
        url = canonical_url(url)
    except InvalidUrlError as error:
        return _no_page(url, "malformed", str(error))
    raw = await queue.redis.hmget(queue.transitions.keys.job(job_id), "spec", "site")
    spec = JobSpec.from_stored(raw[0].decode())
    scope = scope_of(spec, raw[1].decode() if raw[1] else "")
    for name in dict.fromkeys((url, scope.tidy(url))):
        page = await queue.reader.page(job_id, name)
        if page is not None:
            return await _explain_page(queue, job, name, page)
    url = scope.tidy(url)
    reason = scope.decide(url, 0)
    if reason is not None:
        return _no_page(url, reason, scope.explain(url, 0))
    suspicion = suspect(url)
    if suspicion is not None:
        limit = suspicion.limit(spec.max_pages_per_shape)
        if await queue.reader.pages_of_shape(job_id, suspicion.shape) >= limit:
            text = f"{url} is left out: the job has {limit} pages of its form (maxPagesPerShape)"
            return _no_page(url, suspicion.reason, text)
    return _no_page(url, "unknown", _why_unknown(job, url))


def _why_unknown(job: JobView, url: str) -> str:
    text = f"{url} belongs to the job, but no page that was fetched links to it"
    if job.finish_reason == "max_pages":
        return f"{text}, before maxPages ({job.max_pages}) ended the job"
    if not job.state.is_final:
        return f"{text} so far"
    return text


def _no_page(url: str, verdict: str, sentence: str) -> Explanation:
    return Explanation(url, verdict, None, 0, "", None, sentence)


async def _explain_page(queue: JobQueue, job: JobView, url: str, page: StoredPage) -> Explanation:
    place = None
    sentence = f"{url} {STATE_WORDS[page.state]}"
    if page.state is PageState.QUEUED and not job.state.is_final:
        lane = queue.transitions.keys.job(job.id, f"lane:{host_key(url)}")
        place = await queue.redis.lpos(lane, url)
        sentence += f", {place} pages before it" if place is not None else ""
    elif job.state.is_final and page.state in OPEN_STATES:
        sentence = f"{url} was still unfetched when the job ended ({job.finish_reason})"
    elif page.state is PageState.SKIPPED and page.note.startswith("robots "):
        sentence += f": the site's robots.txt says `{page.note.removeprefix('robots ')}`"
    elif page.note and page.state is not PageState.DONE:
        sentence += f": {page.note}"
    sentence += f"; found on {page.found_on}" if page.found_on else "; the job's start page"
    if page.depth:
        links = "one link" if page.depth == 1 else f"{page.depth} links"
        sentence += f", {links} away from the start"
    sentence += f", {page.attempts} attempts" if page.attempts > 1 else ""
    suspect = await queue.reader.suspect(job.id, url)
    sentence += f"; {_suspicion(suspect)}" if suspect else ""
    return Explanation(
        url, page.state.name.lower(), page.found_on, page.attempts, page.note, place, sentence
    )


def _suspicion(suspect: Suspect) -> str:
    last = suspect.deaths[-1]
    return (
        "a worker died while it handled this page, the last one on "
        f"{last.get('at', 'an unknown day')} ({last.get('exit', 'unknown')}); it was the only page "
        f"that was handled at {suspect.charges} of these deaths, at 3 it is quarantined"
    )
