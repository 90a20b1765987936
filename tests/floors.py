"""Print the oldest version that pyproject.toml allows of each library, as constraints for pip.

python tests/floors.py > floors.txt && pip install -c floors.txt -e '.[all]'
"""

import re
import tomllib
from pathlib import Path

OF_USERS = (
    *("data", "report", "tensorboard", "wandb", "mlflow", "completion"),
    *("lightning", "transformers"),
)


def floors() -> dict[str, str]:
    """Return the oldest version of each library of the core and its extras, by name.

    >>> floors()["numpy"]
    '1.26'
    """
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    needed = list(project["dependencies"])
    for extra in OF_USERS:
        needed += project["optional-dependencies"][extra]
    found = (re.match(r"([\w.-]+)(?:\[.*\])?>=([\d.]+)", one) for one in needed)
    return {one[1]: one[2] for one in found}


if __name__ == "__main__":
    print("\n".join(f"{name}=={version}" for name, version in floors().items()))
