"""Autoencoders and sparse dictionaries as scikit-learn estimators.

They work in pipelines and searches, and pass ``sklearn.utils.estimator_checks``.

Examples
--------
>>> from sklearn.datasets import load_iris
>>> from isthmus.sklearn import AutoencoderTransformer
>>> X = load_iris().data
>>> model = AutoencoderTransformer(latent=2, random_state=0).fit(X)
>>> model.transform(X).shape, model.inverse_transform(model.transform(X)).shape
((150, 2), (150, 4))
"""

from isthmus.sklearn.autoencoder import AutoencoderTransformer
from isthmus.sklearn.dictionary import SparseDictionary

__all__ = ["AutoencoderTransformer", "SparseDictionary"]
