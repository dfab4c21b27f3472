"""`python -m autoscaler.crd`: the CustomResourceDefinition in YAML."""

import sys

from autoscaler.crd.custom_resource import manifest

sys.stdout.write(manifest())
