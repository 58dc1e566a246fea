"""The job for `spark-submit`: Parquet in, the same with answers out.

    spark-submit "$(python -c 'import edge_runtime.batch.spark_job as job; print(job.__file__)')" \\
        fraud.edge s3a://day/ s3a://scored/ --keep id,amount

Where Spark's settings are the defaults, `python -m edge_runtime.batch.spark_job` does, and `edge batch --engine spark`.

Belongs here: a session, and the command around it. Not here: the work (spark_files.py).
Imported as edge_runtime.batch.spark_job; spark-submit runs it as a file, so it imports by full names.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `edge batch --engine spark` with ``arguments`` (left out: the command line) and return the exit status."""
    from edge_runtime.cli import main as edge

    return edge(["batch", "--engine", "spark", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
