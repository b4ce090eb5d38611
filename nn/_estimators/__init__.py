"""scikit-learn estimators. This is the only package whose import needs scikit-learn (extra ``sklearn``)."""

from .classifier import FNNClassifier as FNNClassifier
from .regressor import FNNRegressor as FNNRegressor
