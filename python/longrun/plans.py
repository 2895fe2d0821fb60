"""Plans: what to train, on what, for how long, at what cost, and what stands in the way."""

import json

from longrun import _longrun
from longrun.fits import Fit


def _named_text(path):
    if path is None:
        return None
    with open(path, encoding="utf-8") as file:
        return str(path), file.read()


def plan(law, *, target_loss=None, params=None, tokens=None, compute=None, money=None,
         deadline_days=None, power_watts=None, accelerators=None, data_tokens=None,
         served_tokens=None, batch_tokens=None, context=8192, cluster=None, shape=None):
    """Plans a training by `law` and returns the dict that `longrun plan --json` prints.

    law: a Fit, or the name of a published one (besiroglu, hoffmann, gadre, kaplan).
    target_loss, or params and tokens together, say what to train; otherwise the lowest loss is
        sought within the limits compute (FLOP), money, deadline_days, power_watts, accelerators
        and data_tokens.
    served_tokens: over the model's life; adds "over_trained", the cheapest model over all of it.
    cluster, shape: YAML files (examples/clusters, examples/models).

    Raises ValueError for a question that makes no sense, and Refused where a fit is not to be
    trusted or nothing within reach answers. Limits that the plan breaks are told in "feasible",
    "binding" and "constraints".
    """
    amounts = {"target_loss": target_loss, "params": params, "tokens": tokens, "compute": compute,
               "money": money, "watts": power_watts, "accelerators": accelerators,
               "data_tokens": data_tokens, "served_tokens": served_tokens,
               "batch_tokens": batch_tokens,
               "seconds": None if deadline_days is None else 86400 * deadline_days}
    amounts = {name: float(value) for name, value in amounts.items() if value is not None}
    by, how = ((law._held, _longrun.plan_by_fit) if isinstance(law, Fit)
               else (law, _longrun.plan_by_name))
    return json.loads(how(by, amounts, _named_text(cluster), _named_text(shape), context))
