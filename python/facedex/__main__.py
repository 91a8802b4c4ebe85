"""``python -m facedex`` is ``facedex``."""

from .cli import main

if __name__ == "__main__":
    main()
