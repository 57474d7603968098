"""The `token` commands, within this process: another one takes seconds to start."""

from __future__ import annotations

import json
from collections.abc import Mapping

from click.testing import CliRunner, Result

from supervisor.cli import main


def token_command(env: Mapping[str, str], *arguments: str) -> Result:
    """`supervisor token ARGUMENTS` with that environment."""
    return CliRunner(env=dict(env)).invoke(main, ["token", *arguments])


def new_token(env: Mapping[str, str], *arguments: str) -> dict[str, str]:
    """A new token: `token`, and the `id` by which it is revoked."""
    done = token_command(env, "create", "--json", *arguments)
    assert done.exit_code == 0, done.output
    made: dict[str, str] = json.loads(done.stdout)
    return made
