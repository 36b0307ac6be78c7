"""Check this machine for what the jobs need: a line a check, with the cure; 1 when one FAILs."""

from __future__ import annotations

from jobs import harness
from pipeline.flows.doctor import DoctorConfig, checkup
from pipeline.flows.machine import Level


def main(argv: list[str] | None = None) -> int:
    """Parse, check, print a line a finding."""
    parser = harness.parser(__doc__, takes_relative=True)  # it says so itself
    add = parser.add_argument
    add(
        "--source",
        default="youtube",
        metavar="youtube|TEMPLATE|DIR|irmas:DIR",
        help="where the audio is to come from, as build_subset takes it",
    )
    add("--cookies", metavar="FILE", help="the Netscape cookies.txt that build_subset is to use")
    add("--proxy", metavar="URL", help="http(s):// or socks5:// proxy for the source")
    add("--source-address", metavar="IP", help="this machine's address to ask from")
    add("--out", metavar="URI", help="where results are to go; this folder if not given")
    add("--network", action="store_true", help="also ask the source's server for one page")
    flags = vars(parser.parse_args(argv))

    def job() -> int:
        levels = []
        for finding in checkup(DoctorConfig(**flags)):
            print(finding, flush=True)
            levels.append(finding.level)
        n_failed, n_warned = levels.count(Level.FAIL), levels.count(Level.WARN)
        print(f"{len(levels)} checks: {n_failed} failed, {n_warned} warnings")
        return harness.FAILED if n_failed else harness.OK

    return harness.run(job)


if __name__ == "__main__":
    harness.exit_process(main())
