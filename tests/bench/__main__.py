"""`python -m tests.bench`: every benchmark, short; or one of them, as long as asked."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.brokers import KINDS, running
from tests.bench.catalogue_write import catalogue_write
from tests.bench.catalogues import from_file, generated
from tests.bench.core import core
from tests.bench.fold import CONTENDERS, fold
from tests.bench.forwarding import forwarding
from tests.bench.http_load import http_load, phases
from tests.bench.machine import description
from tests.bench.open_bandit import learning
from tests.bench.purchases import Traffic
from tests.bench.recovery import recovery
from tests.bench.report import Table
from tests.bench.stages import stages
from tests.bench.takeover import takeover

Arguments = argparse.Namespace


@dataclass(frozen=True)
class Benchmark:
    """How one is described, told what to do, and run."""

    about: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Arguments], list[Table]]


def _fold_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--broker", choices=[*KINDS, "both"], default="kafka")
    parser.add_argument("--records", type=int, default=300_000, help="events measured")
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--zipf", type=float, default=0.0, help="exponent of Zipf's law; 0: evenly")
    parser.add_argument("--known", action="store_true", help="one event of each customer first, not measured")
    parser.add_argument("--ids", action="store_true", help="give each event an eventId")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; the median is reported")


def _fold(arguments: Arguments) -> list[Table]:
    traffic = Traffic(arguments.records, arguments.customers, arguments.zipf, arguments.ids, arguments.known)
    tables = []
    for kind in KINDS if arguments.broker == "both" else (arguments.broker,):
        with running(kind) as broker:
            tables.append(fold(broker, traffic, arguments.repeat, arguments.only))
    return tables


def _http_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--offers", type=int, default=100, help="of a generated catalogue")
    parser.add_argument("--catalogue", type=Path, help="a YAML document to decide on instead")
    parser.add_argument("--customers", type=int, default=20_000, help="with profile and behaviour")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each phase, after 2 to warm up")
    parser.add_argument("--rates", type=int, nargs="+", default=[200, 500, 1_000], help="requests a second")
    parser.add_argument("--events", type=int, default=5_000, help="events a second folded beside")
    parser.add_argument("--kinds", nargs="+", default=["recommend", "recommend-trace", "respond"])


def _http(arguments: Arguments) -> list[Table]:
    planned = [phase for phase in phases(arguments.rates, arguments.events) if phase.kind in arguments.kinds]
    catalogue = from_file(arguments.catalogue) if arguments.catalogue else generated(arguments.offers)
    with running("kafka") as broker:
        return [http_load(broker, catalogue, arguments.customers, arguments.seconds, planned)]


def _core_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=2.0, help="of each row")


def _core(arguments: Arguments) -> list[Table]:
    return core(arguments.seconds)


def _stages(arguments: Arguments) -> list[Table]:
    return stages(arguments.seconds)


def _recovery_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--customers", type=int, default=300_000)


def _recovery(arguments: Arguments) -> list[Table]:
    with running("kafka") as broker:
        return [recovery(broker, arguments.customers)]


def _takeover_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--customers", type=int, default=300_000)


def _takeover(arguments: Arguments) -> list[Table]:
    with running("kafka") as broker:
        return [takeover(broker, arguments.customers)]


def _forwarding_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each row, after 2 to warm up")
    parser.add_argument("--rates", type=int, nargs="+", default=[0, 200, 500], help="0: closed loop")


def _forwarding(arguments: Arguments) -> list[Table]:
    with running("kafka") as broker:
        return [forwarding(broker, generated(100), arguments.customers, arguments.seconds, arguments.rates)]


def _learning_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=5, help="passes of each strategy")
    parser.add_argument("--rows", type=int, default=10_000, help="of the log, from its beginning")


def _learning(arguments: Arguments) -> list[Table]:
    return [learning(arguments.seeds, arguments.rows, every) for every in (False, True)]


def _catalogue_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--broker", choices=KINDS, default="kafka")
    parser.add_argument("--offers", type=int, nargs="+", default=[100], help="of generated catalogues")
    parser.add_argument("--changes", type=int, default=300)


def _catalogue(arguments: Arguments) -> list[Table]:
    with running(arguments.broker) as broker:
        return [catalogue_write(broker, arguments.offers, arguments.changes)]


BENCHMARKS = {
    "core": Benchmark("the decision and the fold alone", _core_arguments, _core),
    "stages": Benchmark("each stage of the decision, for each candidate", _core_arguments, _stages),
    "fold": Benchmark("this worker, plain Faust and Quix Streams side by side", _fold_arguments, _fold),
    "http": Benchmark("recommend and respond, open and closed loop", _http_arguments, _http),
    "forwarding": Benchmark("the hop to a customer's owner", _forwarding_arguments, _forwarding),
    "catalogue": Benchmark("a change until every worker has it", _catalogue_arguments, _catalogue),
    "takeover": Benchmark("after kill -9, with standbys and without", _takeover_arguments, _takeover),
    "recovery": Benchmark("warm and cold start of a worker", _recovery_arguments, _recovery),
    "learning": Benchmark("the bandits on a public log", _learning_arguments, _learning),
}

#: What `python -m tests.bench` alone runs.
SHORT = (
    ["core", "--seconds=0.5"],
    ["stages", "--seconds=0.5"],
    ["fold", "--records=200000"],
    ["fold", "--records=200000", "--customers=1000000", "--zipf=1"],
    ["http", "--seconds=5", "--rates", "500", "1000"],
    ["http", "--seconds=5", "--rates", "500", "--catalogue=config/samples/music-shop.yaml"],
    ["recovery"],
    ["takeover"],
    ["catalogue"],
    ["forwarding"],
    ["learning", "--seeds=2"],
)


def _parser() -> argparse.ArgumentParser:
    shown = argparse.ArgumentParser(add_help=False)
    form = shown.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="tables for docs/benchmarks.md")
    form.add_argument("--json", action="store_true", help="one JSON document, after all has run")
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__, parents=[shown])
    commands = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK")
    for name, benchmark in BENCHMARKS.items():
        described = benchmark.about
        benchmark.arguments(commands.add_parser(name, help=described, description=described, parents=[shown]))
    return parser


def main() -> None:
    parser = _parser()
    arguments = parser.parse_args()
    planned = [arguments] if arguments.benchmark else [parser.parse_args(each) for each in SHORT]
    head = description()
    if not arguments.json:
        print("\n".join(f"- {line}" for line in head), flush=True)
    tables: list[Table] = []
    for each in planned:
        found = BENCHMARKS[each.benchmark].run(each)
        tables += found
        if not arguments.json:
            shown = [table.markdown() if arguments.markdown else table.plain() for table in found]
            print("\n" + "\n".join(shown), flush=True)
    if arguments.json:
        print(json.dumps({"machine": head, "tables": [table.document() for table in tables]}, indent=2))


if __name__ == "__main__":
    main()
