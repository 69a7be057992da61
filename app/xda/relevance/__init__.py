"""Heat-maps by layer-wise relevance propagation (torch, zennit)."""

from xda.relevance.imports import import_zennit

# Before any module of this package imports zennit.
import_zennit()
