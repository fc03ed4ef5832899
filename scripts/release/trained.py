"""Has the sidegate-train of an installed wheel train by every learner, and its sidegate ($SIDEGATE_BINARY) serve the outcome.

trained.py ENVIRONMENT
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests" / "clients"))
from sidegate import Server, environment  # noqa: E402

program = pathlib.Path(sys.argv[1]).resolve() / "bin" / "sidegate-train"
# Those of packages of the environment, which nobody named, and the one that is a part of the program.
LEARNERS = ["builtin", "xgboost", "lightgbm"]
CONFIG = """
name = "{learner}-sum"
target_column = "y"
auto_deploy = true
[data]
source = "file"
path = "rows.csv"
[model]
type = "{learner}"
params = {{ {rounds} = 60, learning_rate = 0.2 }}
[gate]
r2 = 0.9
[registry]
url = "models"
"""

with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    rng = random.Random(1)
    rows = [(rng.uniform(-1, 1), rng.uniform(-1, 1)) for _ in range(600)]
    (folder / "rows.csv").write_text("a,b,y\n" + "".join(f"{a:.4f},{b:.4f},{3 * a - b:.4f}\n" for a, b in rows))
    for learner in LEARNERS:
        rounds = "n_estimators" if learner == "xgboost" else "num_iterations"
        (folder / "train.toml").write_text(CONFIG.format(learner=learner, rounds=rounds))
        done = subprocess.run([program, "run", "train.toml"], cwd=folder, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, f"{learner}: {done.stderr}"
        result = json.loads(done.stdout)
        assert result["status"] == "success", result
        print(f"trained by {learner}: r2 {result['metrics']['test_r2']:.3f}")
    with Server(folder, folder / "models", cwd=folder) as server:
        for learner in LEARNERS:
            server.wait_served(f"{learner}-sum", "1")
            body = json.dumps([{"a": 0.5, "b": -0.5}]).encode()
            status, _, answer = server.exchange("POST", f"/predict?model={learner}-sum", body)
            assert status == 200, answer
            [value] = json.loads(answer)["predictions"]
            assert abs(value - 2) < 0.5, answer
