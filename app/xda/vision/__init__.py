"""Images, networks and heat-maps: everything that needs torch. NumPy arrays and bytes leave it, tensors do not."""

from xda.vision.lazy import import_zennit

# Before any module of this package imports zennit.
import_zennit()
