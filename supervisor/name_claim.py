"""A supervisor's name over all machines: two with the same host name get different ones."""

from __future__ import annotations

from scraper.jobs import JobQueue
from supervisor.name import SupervisorName

# As long as its report; a name whose machine is gone is free after this.
CLAIM_KEPT_MS = 15_000


class NameClaim:
    """A name held here by its lock file and in Redis by this machine. `close` frees the lock."""

    def __init__(self, queue: JobQueue, name: SupervisorName, machine: str) -> None:
        self.name = name
        self._queue = queue
        self._machine = machine
        self._key = queue.transitions.keys.key(f"name:{name.text}")

    @classmethod
    async def acquire(cls, queue: JobQueue, base: str | None) -> NameClaim:
        """The first name that is free here and that no other machine holds.

        A predecessor's on this machine is ours at once, however it died. Raises
        SupervisorNameError and redis-py's errors.
        """
        number = 1
        while True:
            name = SupervisorName.acquire(queue.url, queue.name, base, first=number)
            claim = cls(queue, name, name.machine)
            try:
                holder = await queue.redis.set(
                    claim._key, claim._machine, nx=True, get=True, px=CLAIM_KEPT_MS
                )
            except BaseException:
                name.close()
                raise
            if holder is None or holder.decode() == claim._machine:
                return claim
            name.close()
            number = name.number + 1

    async def renew(self) -> None:
        """Hold it for another 15 s. Raises redis-py's errors."""
        await self._queue.redis.set(self._key, self._machine, px=CLAIM_KEPT_MS)

    async def leave(self) -> None:
        """Free it for all machines. Raises redis-py's errors."""
        await self._queue.redis.delete(self._key)

    def close(self) -> None:
        self.name.close()
