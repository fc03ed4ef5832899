"""A prediction service as it is usually written: a pydantic model, a DataFrame per request.

    MODEL=build/model.ubj uvicorn serve_fastapi:app --port 9000 --no-access-log
"""

import os

import pandas as pd
import xgboost
from fastapi import FastAPI
from pydantic import create_model

model = xgboost.XGBClassifier()
model.load_model(os.environ.get("MODEL", "build/model.ubj"))
features = model.get_booster().feature_names
Patient = create_model("Patient", **{name: (float, ...) for name in features})

app = FastAPI()


@app.post("/predict")
def predict(patient: Patient):
    row = pd.DataFrame([patient.model_dump()], columns=features)
    probabilities = model.predict_proba(row)[0]
    return {"prediction": int(probabilities.argmax()), "probability": float(probabilities[1])}
