"""Measure facedex: its speed compared with other libraries, and its memory over many calls.

    python benches/run.py [speed]     about a minute; ratios to peers where they are installed
    python benches/run.py memory      about three minutes; resident memory over 20,000 calls

Every configuration runs in a process of its own, the configurations take turns in random order, and every number is the
median over the rounds of one run, so that what slows the machine slows all. JSON goes to bench-output/.
"""

import argparse
import sys
from pathlib import Path

import memory
import speed

OUTPUT = Path(__file__).parents[1] / "bench-output"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for the JSON files")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a goal is missed")
    commands = parser.add_subparsers(dest="command")
    speed.add_arguments(commands.add_parser("speed", help="time a photo, side by side with peers"))
    memory.add_arguments(commands.add_parser("memory", help="watch the memory over many calls"))
    arguments = parser.parse_args()
    if arguments.command is None:
        arguments = parser.parse_args([*sys.argv[1:], "speed"])
    run = memory.run if arguments.command == "memory" else speed.run
    arguments.output.mkdir(parents=True, exist_ok=True)
    met = run(arguments)
    return 1 if arguments.strict and not met else 0


if __name__ == "__main__":
    sys.exit(main())
