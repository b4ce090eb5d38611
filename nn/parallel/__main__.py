"""``python -m nn.parallel -n 4 train.py``: start a program in several processes."""

import sys

from .launch import main

sys.exit(main())
