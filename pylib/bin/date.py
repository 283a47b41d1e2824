"""usage: date [-u] [+FORMAT]

Prints date and time; FORMAT is that of strftime(3): `date +%Y-%m-%d`. To set the clock, ask a time server
from Python: `net.ntp('pool.ntp.org')`.

  -u  of Greenwich, not of the local zone
"""

import time

from kernel.command import CommandError, parse

argv: list[str]

options = parse(__doc__, argv, flags="u", most=1)
form = options.operands[0] if options.operands else "+%a %b %e %H:%M:%S %Z %Y"
if not form.startswith("+"):
    raise CommandError(f"{form}: a format begins with +; net.ntp(server) sets the clock")
now = time.time()
print(time.strftime(form[1:], time.gmtime(now) if "u" in options else time.localtime(now)))
