"""Runs the notebooks and stores their outputs in them: `make notebooks`.

    python docs/notebooks/run.py [--out DIR] [NOTEBOOK.ipynb ...]

Each runs in an empty folder, on the package of this working tree, with one thread and
without anyone's own IPython settings. With `--out` they are written there and stay as
they are here. What the text says of a run no test checks: read it again afterwards.
"""

import argparse
import hashlib
import os
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
SECONDS = 600  # For a cell, on however slow a machine.

# What a viewer needs: the version of Python and the like would differ by machine.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "name": "python",
        "file_extension": ".py",
        "mimetype": "text/x-python",
    },
}


def run(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a run from its first cell to its last.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    # Sockets' paths have to be short, and pytest's folders are not.
    with tempfile.TemporaryDirectory(prefix="nb") as scratch:
        folder = Path(scratch)
        (folder / "work").mkdir()
        os.environ.update(
            PYTHONPATH=str(HERE.parents[1] / "src"),
            OMP_NUM_THREADS="1",
            IPYTHONDIR=str(folder),
            JUPYTER_CONFIG_DIR=str(folder),
            JUPYTER_RUNTIME_DIR=str(folder),
        )
        # This Python's ipykernel: a kernel that is registered may be another's.
        specs = KernelSpecManager(kernel_dirs=[], ensure_native_kernel=True)
        # Sockets are files: two kernels that start together may choose the same port.
        kernel = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=specs,
            transport="ipc",
            ip=str(folder / "k"),
        )
        NotebookClient(
            notebook,
            km=kernel,
            timeout=SECONDS,
            startup_timeout=SECONDS,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(folder / "work")}},
        ).execute(cleanup_kc=True)  # The kernel is ours to end.
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    code = hashlib.sha256("\n".join(sources).encode()).hexdigest()
    notebook.metadata = nbformat.from_dict({**METADATA, "outputs_are_of_code": code})
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Run notebooks and store their outputs."
    )
    parser.add_argument(
        "notebooks", nargs="*", type=Path, help="all of this folder by default"
    )
    parser.add_argument(
        "--out", type=Path, help="a folder to write them to, instead of here"
    )
    options = parser.parse_args()
    for path in options.notebooks or sorted(HERE.glob("*.ipynb")):
        target = path if options.out is None else options.out / path.name
        nbformat.write(run(path), target)
        print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
