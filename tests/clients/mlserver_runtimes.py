"""Models as their makers write them for MLServer; it imports this file by name, so tests do not."""

import joblib
import numpy as np
import pandas as pd
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, PandasCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri


class Classifier(MLModel):
    """A scikit-learn classifier under the names and datatypes of the ONNX model that it is compared with."""

    async def load(self) -> bool:
        self.model = joblib.load(await get_model_uri(self.settings))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        outputs = [
            # A list is made a column by this codec.
            NumpyCodec.encode_output("label", self.model.predict(rows).astype(np.int64)),
            NumpyCodec.encode_output("probabilities", self.model.predict_proba(rows).astype(np.float32)),
        ]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)


class Species(MLModel):
    """Penguins by their island and weight: text and numbers in columns of a frame, text out."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        frame: pd.DataFrame = self.decode_request(payload, default_codec=PandasCodec)
        named = {"Biscoe": 2, "Dream": 1, "Torgersen": 0}
        # Adelie, Chinstrap, Gentoo; light ones of Biscoe are Adelie.
        species = np.array([named[str(island)] for island in frame["island"]])
        species[(species == 2) & (frame["body_mass_g"].to_numpy() < 4000)] = 0
        words = np.array(["Adelie", "Chinstrap", "Gentoo"])[species]
        outputs = [
            StringCodec.encode_output("output_label", words.tolist()),
            NumpyCodec.encode_output("output_probability", np.eye(3, dtype=np.float32)[species]),
        ]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)


class Backwards(MLModel):
    """Hands back its rows in the opposite order, whatever their datatype."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        outputs = [
            NumpyCodec.encode_output(f"{tensor.name}_out", self.decode(tensor, default_codec=NumpyCodec)[::-1])
            for tensor in payload.inputs
        ]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
