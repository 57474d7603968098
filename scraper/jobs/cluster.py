"""The client of a Redis Cluster for one queue: commands without a key go to the queue's node."""

from __future__ import annotations

from typing import Any

import redis.asyncio
from redis.asyncio.cluster import AbstractStrategy, ClusterPipeline, TransactionStrategy

_FUNCTION_CALLS = frozenset({"FCALL", "FCALL_RO"})
# Without a key, redis-py asks any node, or all: their clocks and memory are not the queue's.
_OF_THE_NODE = frozenset({"PING", "TIME", "INFO", "CONFIG GET", "ROLE"})


class QueueCluster(redis.asyncio.RedisCluster):
    """`home_key` is any key of the queue; all of them are in one slot."""

    home_key: str = ""

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        if args[0] in _OF_THE_NODE and self.home_key and "target_nodes" not in kwargs:
            kwargs["target_nodes"] = await self.home_node()
        return await super().execute_command(*args, **kwargs)

    async def home_node(self) -> Any:
        """The master that has the queue's slot, as far as this client knows."""
        if self._initialize:
            await self.initialize()
        return self.get_node_from_key(self.home_key)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:
        pipe = super().pipeline(transaction, shard_hint)
        if transaction:
            pipe._execution_strategy = _HomeTransaction(pipe, self)
        return pipe

    async def _determine_slot(self, command: str, *args: Any) -> int:
        """Redis-py would ask the server, before each function call, which arguments are keys."""
        if command.upper() in _FUNCTION_CALLS and int(args[1]):
            return self.keyslot(args[2])
        slot: int = await super()._determine_slot(command, *args)
        return slot

    def learn_again(self) -> None:
        """Before the next command, ask which node has which slots."""
        self._initialize = True

    async def aclose(self) -> None:
        """Close the connections also after a lost reply; redis-py's own then closes nothing."""
        await super().aclose()
        for nodes in ("nodes_cache", "startup_nodes"):
            await self.nodes_manager.aclose(nodes)


class _HomeTransaction(TransactionStrategy):
    """A transaction on the queue's node.

    redis-py would look for the slot of each command in a thread with an event loop of its own. For
    some, XREAD among them, it asks the server for that: over a connection of the loop that waits.
    """

    def __init__(self, pipe: ClusterPipeline, client: QueueCluster) -> None:
        super().__init__(pipe)
        if not client.home_key:
            raise RuntimeError("whose queue is it? call set_home first")
        self._client = client

    def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        self._pipeline_slots.add(self._client.keyslot(self._client.home_key))
        return AbstractStrategy.execute_command(self, *args, **kwargs)

    async def _reinitialize_on_error(self, error: Any, failure_count: Any) -> None:
        await super()._reinitialize_on_error(error, failure_count)  # type: ignore[no-untyped-call]
        self._client.learn_again()


def set_home(client: Any, key: str) -> None:
    """Tell a cluster client which queue it serves; any other client needs no telling."""
    if isinstance(client, QueueCluster):
        client.home_key = key
