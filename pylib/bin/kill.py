"""usage: kill ID...

Ends Python threads, by SystemExit raised in them, and cancels asyncio tasks. `ps` shows the ids.
"""

from kernel.command import for_each, parse
from kernel.scheduler import scheduler

argv: list[str]

options = parse(__doc__, argv, least=1)
for_each(options.name, options.operands, scheduler.kill)
