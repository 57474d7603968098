"""The command line: `python -m supervisor ...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
from redis.exceptions import ResponseError

from scraper.jobs import (
    ConfigError,
    EmbeddedUnavailableError,
    InvalidJobError,
    JobsError,
    RedisUnreachableError,
)
from scraper.jobs.printable import printable_lines
from scraper.jobs.suggest import nearest
from supervisor import (
    cli_act,
    cli_fleet,
    cli_foreground,
    cli_look,
    cli_migrate,
    cli_preview,
    cli_run,
    cli_token,
    cli_webhooks,
)
from supervisor.desk import ServiceRefusesError, ServiceUnreachableError

EXIT_FAILED, EXIT_USAGE, EXIT_REDIS, EXIT_INTERRUPTED = 1, 2, 3, 130


class SuggestingGroup(click.Group):
    """Names the nearest command when one is mistyped."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            guess = nearest(name, self.list_commands(ctx))
            hint = f" Did you mean {guess!r}?" if guess else ""
            raise click.UsageError(f"there is no command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=SuggestingGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--debug", is_flag=True, help="Show the trace of an error.")
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    """Scraper Workers: jobs for scraping on Scrapy and Redis.

    One crawl now:  python -m supervisor crawl https://example.com/ --max-pages 50

    The service:    python -m supervisor run
    """
    ctx.obj = {"debug": debug}


for _command in (
    *cli_run.COMMANDS,
    *cli_foreground.COMMANDS,
    *cli_preview.COMMANDS,
    *cli_look.COMMANDS,
    *cli_act.COMMANDS,
    *cli_fleet.COMMANDS,
    *cli_token.COMMANDS,
    *cli_migrate.COMMANDS,
    *cli_webhooks.COMMANDS,
):
    main.add_command(_command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code: 0 done, 1 failed, 2 usage, 3 Redis, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    # Also where people write it: behind the command.
    arguments = (["--debug"] if debug else []) + [a for a in arguments if a != "--debug"]
    try:
        code: Any = main(arguments, prog_name="python -m supervisor", standalone_mode=False)
    except click.UsageError as error:
        hint = f" See '{error.ctx.command_path} --help'." if error.ctx else ""
        return _report(f"{error.format_message()}{hint}", EXIT_USAGE, error, debug)
    except click.ClickException as error:
        return _report(error.format_message(), EXIT_USAGE, error, debug)
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except (InvalidJobError, ConfigError) as error:
        return _report(str(error), EXIT_USAGE, error, debug)
    except ServiceRefusesError as error:
        return _report(str(error), EXIT_USAGE, error, debug)
    except (RedisUnreachableError, EmbeddedUnavailableError, ServiceUnreachableError) as error:
        return _report(str(error), EXIT_REDIS, error, debug)
    except JobsError as error:
        return _report(str(error), EXIT_FAILED, error, debug)
    except ResponseError as error:
        text = (
            f"Redis refuses: {error}. See the rights of its user (docs/acl.md) and the queue's name"
        )
        return _report(text, EXIT_FAILED, error, debug)
    except BrokenPipeError:
        # The reader of our output has seen enough (`... | head`).
        sys.stderr.close()
        return 0
    return code if isinstance(code, int) else 0


def _report(text: str, code: int, error: BaseException, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    click.echo(f"error: {printable_lines(text)}", err=True)
    return code
