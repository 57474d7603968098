"""Transitions that count only once replicas have them: WAIT on the connection that wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio.cluster import PipelineCommand
from redis.exceptions import AskError, MovedError, RedisError, TryAgainError

from scraper.jobs.cluster import QueueCluster

# Slots move while they are asked for; each try goes to where the last answer said.
_REDIRECTIONS = 5


class NotReplicatedError(RedisError):
    """The primary has the change, too few replicas do: a fail-over may lose it. Repeat the call."""

    def __init__(self, acknowledged: int, wanted: int, wait_ms: int) -> None:
        self.acknowledged = acknowledged
        super().__init__(
            f"{acknowledged} of {wanted} replicas have acknowledged within {wait_ms} ms: look at "
            "`INFO replication` of the primary, start replicas, or set DURABILITY=server"
        )


@dataclass(frozen=True, slots=True)
class ReplicaAcknowledgement:
    """How many replicas must have a change, and how long to wait for them."""

    replicas: int
    wait_ms: int

    async def call(self, client: Any, meta: str, function: Sequence[Any]) -> Any:
        """The reply of FCALL with these arguments, once the replicas have what it wrote.

        A write of its own goes between: the server waits for the last write of a connection, and a
        repeated call, which changes nothing, has none. Raises NotReplicatedError.
        """
        commands = [
            ("FCALL", *function),
            ("HINCRBY", meta, "barriers", 1),
            ("WAIT", self.replicas, self.wait_ms),
        ]
        if isinstance(client, QueueCluster):
            replies = await _send_to_node(client, commands)
        else:
            async with client.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                replies = await pipe.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        if replies[2] < self.replicas:
            raise NotReplicatedError(replies[2], self.replicas, self.wait_ms)
        return replies[0]


async def _send_to_node(client: QueueCluster, commands: Sequence[Sequence[Any]]) -> list[Any]:
    """On one connection to the master that has the queue's slot; redis-py has nothing for it."""
    for _ in range(_REDIRECTIONS):
        node = await client.home_node()
        batch = [PipelineCommand(place, *command) for place, command in enumerate(commands)]
        try:
            await node.execute_pipeline(batch)
        except (RedisError, OSError):
            client.learn_again()
            raise
        replies = [command.result for command in batch]
        if any(isinstance(reply, RedisError) for reply in replies):
            client.learn_again()
        if not isinstance(replies[0], MovedError | AskError | TryAgainError):
            break
    return replies
