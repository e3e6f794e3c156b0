"""omni_lab: learn, and reproduce, how an omni-modal model is pretrained.

Importing the package is instant; each subpackage pulls in what it needs when it is used.
"""

__version__ = "0.1.0"
