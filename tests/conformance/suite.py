"""suite.py SITE fuzzingclient|fuzzingserver SPEC [COUNT], run by Python 2.7: the Autobahn test suite from SITE, with
COUNT messages instead of 1,000 in the cases that only measure. suite.py SITE --check: can it be imported? The number is
all that is changed of the suite, and only while it runs."""

from __future__ import print_function

import json
import re
import site
import sys

site.addsitedir(sys.argv[1])

import autobahntestsuite  # noqa: E402  the first: it chooses the reactor
from autobahntestsuite import case, fuzzing  # noqa: E402
from twisted.internet import reactor  # noqa: E402

MEASURING = re.compile(r"Case(9_7|9_8|12|13)_")


def main(mode, spec, count=None):
    for one in case.Cases:
        if count and MEASURING.match(one.__name__):
            one.COUNT = int(count)
    with open(spec) as text:
        parsed = json.load(text)
    if mode == "fuzzingserver":
        fuzzing.startServer(parsed, 0)
        reactor.callWhenRunning(print, "listening")
    else:
        fuzzing.startClient(parsed)
    reactor.run()


if sys.argv[2] == "--check":
    print(autobahntestsuite.version, len(case.Cases))
else:
    main(*sys.argv[2:])
