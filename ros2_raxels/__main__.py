"""``python -m ros2_raxels`` is ``raxels``."""

import sys

from ros2_raxels.cli.main import main

sys.exit(main())
