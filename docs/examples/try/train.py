"""Trains a classifier on scikit-learn's breast cancer data; writes what the three servers load, and the rows to try.

    python train.py FOLDER
"""

import pathlib
import sys

import numpy as np
import xgboost
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build")
folder.mkdir(parents=True, exist_ok=True)

data = load_breast_cancer(as_frame=True)
# pydantic fields and CSV headers like names without blanks.
features = data.data.rename(columns=lambda name: name.replace(" ", "_")).astype(np.float32)
train, test, train_target, test_target = train_test_split(features, data.target, random_state=0)

model = xgboost.XGBClassifier(n_estimators=200, max_depth=5, learning_rate=0.1, random_state=0)
model.fit(train, train_target)
print(f"accuracy on {len(test)} rows that it has not seen: {model.score(test, test_target):.3f}")

model.save_model(folder / "model.ubj")
features.to_csv(folder / "rows.csv", index=False)

# The converter knows columns by number only.
booster = model.get_booster()
booster.feature_names = [f"f{column}" for column in range(features.shape[1])]
onnx = convert_xgboost(model, initial_types=[("input", FloatTensorType([None, features.shape[1]]))])
(folder / "model.onnx").write_bytes(onnx.SerializeToString())
