"""Longrun's scaling laws from Python: fit a law, foretell a run, plan a training.

    import longrun

    fit = longrun.fit(frame, params="Model Size", compute="Training FLOP", loss="loss",
                      drop_highest=5)
    fit.parameters["alpha"], fit.intervals["alpha"][80]
    fit.predict(params=[70e9], tokens=[1.4e12])
    longrun.plan(fit, compute=5.76e23)

Arrays are anything that NumPy takes; frames are pandas' or anything else whose columns are found by
name (a dict of arrays, a record array).
"""

from longrun._longrun import Refused
from longrun.fits import Fit, fit, load
from longrun.plans import plan

__all__ = ["Fit", "Refused", "fit", "load", "plan"]
