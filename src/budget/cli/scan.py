"""`budget scan`: every model there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from budget.cli.output import Output
from budget.cli.parameters import Argument, Option
from budget.cli.question import Question, question
from budget.errors import ExitCode, UsageError
from budget.record import record

if TYPE_CHECKING:
    from budget.gguf.header import Header
    from budget.planning.judge import Judgement
    from budget.source import SourceInfo


@record(kw_only=False)
class Judge:
    """The question put to every model; travels to other processes."""

    asked: Question

    def __call__(self, header: Header, source: SourceInfo) -> Judgement:
        """The verdict on one model."""
        from budget.planning.judge import judge

        return judge(self.asked.request(self.asked.understand(header, source)))


@question(models="none")
def command(
    asked: Question,
    out: Output,
    places: Annotated[
        list[str] | None,
        Argument(metavar="PLACE...", show_default=False,
                       help="Folders, files or addresses such as s3://bucket/models."),
    ] = None,
    stores: Annotated[
        bool | None,
        Option("--stores/--no-stores", show_default=False,
                     help="Look into the stores of Hugging Face, LM Studio, llama.cpp and Ollama; left away, only "
                     "where no PLACE is given."),
    ] = None,
    jobs: Annotated[
        int | None, Option("--jobs", "-j", metavar="N", show_default=False, help="Processes that read.")
    ] = None,
    dask: Annotated[
        str | None,
        Option("--dask", metavar="ADDRESS", show_default=False,
                     help="Read on the workers of this Dask scheduler, such as tcp://host:8786."),
    ] = None,
) -> int:  # fmt: skip
    """Every model in the stores of this machine and in given places, with verdict and largest context.

    Each answer is that of `budget fit FILE`: a projector is a row of its own, and counts where -mm names it, since
    llama-server -m does not look for one.
    """
    from budget.render.scan import scan_object, scan_screen
    from budget.source.discover import discover
    from budget.source.progress import ReadProgress
    from budget.source.scan import scan

    if jobs is not None and jobs < 1:
        raise UsageError(
            f"--jobs {jobs}: at least one process is needed", hint="leave it away for one per core"
        )
    found = discover(places or (), stores=not places if stores is None else stores)
    rows = []
    with ReadProgress("models", unit="models", quiet=out.quiet or out.form != "table") as progress:
        for row in scan(found, Judge(asked.ready()), n_jobs=jobs, dask=dask, use_cache=asked.use_cache):
            rows.append(row)
            progress.update(len(rows), None)
    out.show(
        data=lambda: scan_object(rows),
        screen=lambda: scan_screen(rows),
        rows=lambda: scan_object(rows)["models"],
    )
    return int(ExitCode.OK)
