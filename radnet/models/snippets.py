"""Code for a model card that loads a model and preprocesses a slice. The tests run it as it is printed."""

from radnet.views.evaluation import EvaluationView
from radnet.views.window import MinMaxWindow


def loading_snippet(source: str) -> str:
    """Five lines with radnet.

    Args:
        source: "local-dir:DIRECTORY" or "hf-hub:ORG/NAME".
    """
    return f"""import timm, torch
from radnet.models import transform_for
model = timm.create_model("{source}", pretrained=True, num_classes=0).eval()
view = transform_for(model)
features = model(torch.from_numpy(view(hu)[0])[None])"""


def timm_alone_snippet(source: str, view: EvaluationView) -> str:
    """The same without radnet: what `EvaluationView` does, written out for one model.

    Args:
        source: "local-dir:DIRECTORY" or "hf-hub:ORG/NAME".
        view: Its preprocessing.
    """
    if isinstance(view.window, MinMaxWindow):
        levels = "low, width = np.float32(hu.min()), np.float32(max(int(hu.max()) - int(hu.min()), 1))"
    else:
        pairs = view.window.levels(None, None)  # type: ignore[arg-type]  # a fixed window looks at nothing
        lows, widths = ([float(pair[place]) for pair in pairs] for place in (0, 1))
        levels = (
            f"low, width = (np.float32(values).reshape(-1, 1, 1) for values in ({lows}, {widths}))  # HU, one a channel"
        )
    mean, std = list(view.mean), list(view.std)
    return f"""import cv2, numpy as np, timm, torch
model = timm.create_model("{source}", pretrained=True, num_classes=0).eval()
{levels}
side = max(hu.shape)
top, left = (side - hu.shape[0]) // 2, (side - hu.shape[1]) // 2
square = np.full((side, side), -1024, np.int16)  # air
square[top : top + hu.shape[0], left : left + hu.shape[1]] = hu
how = cv2.INTER_AREA if side >= {view.size} else cv2.INTER_LINEAR
small = cv2.resize(square, ({view.size}, {view.size}), interpolation=how).astype(np.float32)
grey = np.clip((small - low) / width, 0, 1)
mean, std = (np.float32(values).reshape(-1, 1, 1) for values in ({mean}, {std}))
features = model(torch.from_numpy((grey - mean) / std)[None])"""
