"""Pictures of results, as SVG, HTML and PNG files."""

from xpert_cli.plot.loss import loss_curve

__all__ = ["loss_curve"]
