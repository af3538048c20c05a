"""ListOps: nested list expressions over digits, as in the Long Range Arena and, before it, Nangia and Bowman 2018.

Reading order: `config`, `vocabulary`, `records` and `kernel` (draw and evaluate), `solver` (evaluates again,
independently), `law` (exact probabilities), `tree` (for people), `task`.
"""
