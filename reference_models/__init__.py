"""Sixteen X-formers, each computing what its paper says, in one encoder, to check the datasets of `lra_data`.

    from reference_models.config import preset
    from reference_models.classifier import Classifier
    model = Classifier(preset("mini", task="listops", attention="performer"))

Importing this package loads nothing heavy.
"""
