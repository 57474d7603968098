"""The client of a Redis Cluster for one queue: commands without a key go to the queue's node."""

from __future__ import annotations

from typing import Any

import redis.asyncio

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

    def learn_again(self) -> None:
        """Before the next command, ask which node has which slots."""
        self._initialize = True

    async def aclose(self) -> None:
        """Close the connections also after a lost reply; redis-py's own then closes nothing."""
        await super().aclose()
        for nodes in ("nodes_cache", "startup_nodes"):
            await self.nodes_manager.aclose(nodes)


def set_home(client: Any, key: str) -> None:
    """Tell a cluster client which queue it serves; any other client needs no telling."""
    if isinstance(client, QueueCluster):
        client.home_key = key
