"""Check this machine for what the jobs need: one line per check, with the cure; 1 on a FAIL."""

from __future__ import annotations

from jobs import harness
from pipeline.api import checkup
from pipeline.configs.doctor import DoctorConfig
from pipeline.flags import from_flags


def main(argv: list[str] | None = None) -> int:
    """Parse, check, print one line per finding."""
    parser = harness.parser(__doc__, DoctorConfig, takes_relative=True)  # it says so itself
    flags = vars(parser.parse_args(argv))

    def job() -> int:
        from pipeline.flows.doctor_checks import Level

        levels = []
        for finding in checkup(from_flags(DoctorConfig, flags)):
            print(finding, flush=True)
            levels.append(finding.level)
        n_failed, n_warned = levels.count(Level.FAIL), levels.count(Level.WARN)
        print(f"{len(levels)} checks: {n_failed} failed, {n_warned} warnings")
        return harness.FAILED if n_failed else harness.OK

    return harness.run(job)


if __name__ == "__main__":
    harness.exit_process(main())
