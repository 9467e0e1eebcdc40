"""`python -m tests.stress`: a seeded run under faults, and the verdict.

Rules:

1.  The exit code is 0 when nothing was violated, 1 when something was, 2 when it could not be run, or not as
    planned: a fault could not be made or healed.
2.  The last line on standard output is one JSON object, for logs; everything else is for people.
3.  The folder with logs, history and stores is kept when something was violated, or when asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.kafka.cluster import KafkaClusterError
from tests.kafka.jars import KafkaUnavailableError
from tests.stress.checks import check
from tests.stress.disk import NoCompilerError
from tests.stress.report import report, summary
from tests.stress.run import Plan, perform, write_plan
from tests.stress.schedule import KINDS, plan

_CANNOT_RUN = (KafkaClusterError, KafkaUnavailableError, NoCompilerError)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the schedule and the traffic")
    parser.add_argument("--minutes", type=float, default=3.0, help="of traffic")
    parser.add_argument("--nodes", type=int, default=3, choices=(1, 3), help="of Kafka")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--faults", default=",".join(KINDS), help=f"of {','.join(KINDS)}; none: no faults")
    parser.add_argument("--requests", type=float, default=60.0, help="HTTP requests a second")
    parser.add_argument("--records", type=float, default=40.0, help="records a second of other producers")
    parser.add_argument("--keep", type=Path, help="a new folder for logs, history and stores, kept")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, check, report; returns the exit code."""
    # The harness's own clients meet the faults too, and say so at length.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    given = _arguments(argv)
    kinds = [] if given.faults == "none" else given.faults.split(",")
    try:
        schedule = plan(given.seed, given.minutes, given.workers, given.nodes, kinds)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    planned = Plan(given.seed, given.minutes, given.nodes, given.workers, schedule)
    planned = replace(planned, requests=given.requests, records=given.records)
    print(f"seed {given.seed}: {len(schedule)} faults", *schedule, sep="\n", flush=True)
    folder: Path = given.keep or Path(tempfile.mkdtemp(prefix="offertide-stress-"))
    folder.mkdir(parents=True, exist_ok=True)
    write_plan(planned, folder)
    code = _run(planned, folder)
    if code == 0 and given.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"logs, history and stores are in {folder}", file=sys.stderr)
    return code


def _run(planned: Plan, folder: Path) -> int:
    """Run, check and report in a folder; the exit code."""
    try:
        evidence, history = asyncio.run(perform(planned, folder))
        findings = check(evidence)
    except _CANNOT_RUN as error:
        print(f"could not run: {error}", file=sys.stderr)
        return 2
    except Exception:  # noqa: BLE001 - the harness's own failure is no verdict
        traceback.print_exc()
        return 2
    line = summary(planned, history, findings, evidence)
    print(report(findings, evidence))
    print(json.dumps(line), flush=True)
    failed = [f"{one.kind} of {one.who}: {one.error}" for one in evidence.disturbances if one.error]
    if failed:
        print("not a fair run, faults could not be made or healed:", *failed, sep="\n", file=sys.stderr)
        return 2
    return 1 if line["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
